"""Whole scenarios."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.differential.grammar.checks import add_data_tests, add_unit_tests
from tests.differential.grammar.data import add_exposures, add_package, add_seeds, add_snapshots, add_sources
from tests.differential.grammar.extras import add_extras
from tests.differential.grammar.models import add_models
from tests.differential.grammar.settings import add_selectors, add_settings
from tests.differential.grammar.sketch import Sketch, dump
from tests.differential.grammar.steps import steps
from tests.differential.scenario import Scenario


@st.composite
def scenarios(draw: Any) -> Scenario:
    """A project of up to a dozen nodes, and up to six commands."""
    threads = draw(st.sampled_from((1, 1, 3)))
    sketch = Sketch(draw, threads)
    add_seeds(sketch)
    add_sources(sketch)
    add_package(sketch)
    add_models(sketch, "m", 2, 4)
    add_snapshots(sketch)
    add_extras(sketch)
    add_models(sketch, "n", 0, 4)
    add_data_tests(sketch)
    add_unit_tests(sketch)
    add_exposures(sketch)
    add_settings(sketch)
    add_selectors(sketch)
    sketch.files["dbt_project.yml"] = dump(sketch.settings)
    if sketch.yaml:
        sketch.files["models/schema.yml"] = dump(sketch.yaml)
    return Scenario(sketch.files, steps(sketch), threads)
