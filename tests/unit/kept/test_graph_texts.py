"""Which texts of a project may change Jinja's `graph`."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from dbt.contracts.graph.manifest import Manifest

from dbt_temporal.adapters.dbt_core.process.kept import texts
from dbt_temporal.adapters.dbt_core.process.kept.texts import may_change_graph, speaks_of_graph

READS = "{% macro reads() %}{% set found = [] %}{% for node in graph.nodes.values() %}{% do found.append(node.name) %}"
GETS = "{% macro get_cache() %}{{ return(graph.get('cache')) }}{% endmacro %}"


@pytest.fixture(autouse=True)
def _no_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "get_adapter_package_names", lambda name: [f"dbt_{name}"])


def manifest(*macros: str, model: str = "", hook: str = "") -> Manifest:
    config = SimpleNamespace(pre_hook=[SimpleNamespace(sql=hook)], post_hook=[])
    own = {f"macro.shop.m{number}": _macro("shop", number, text) for number, text in enumerate(macros)}
    of_dbt = {"macro.dbt.m": _macro("dbt", 0, "{% do graph.update({}) %}")}
    nodes = {"model.shop.a": SimpleNamespace(raw_code=model, config=config)}
    return cast(Manifest, SimpleNamespace(macros=own | of_dbt, nodes=nodes))


def _macro(package: str, number: int, text: str) -> Any:
    return SimpleNamespace(unique_id=f"macro.{package}.m{number}", package_name=package, macro_sql=text)


@pytest.mark.parametrize(
    "text",
    [
        "{% macro m() %}{% do graph.setdefault('x', {}) %}{% endmacro %}",
        "{% macro m() %}{% do graph['x']['y'][0].append(1) %}{% endmacro %}",
        "{% macro m() %}{% set x = graph.get('x') %}{% set y = x.y %}{% do y.update({}) %}{% endmacro %}",
        "{% macro m() %}{% for node in graph.nodes.values() %}{% do node.pop('x') %}{% endfor %}{% endmacro %}",
        "{% macro m() %}{% do package.get_cache().update({}) %}{% endmacro %}",
        "{% macro m() %}{% set cache = get_cache() %}{% do cache.x.append(1) %}{% endmacro %}",
    ],
)
def test_texts_that_change_what_they_reach_by_graph_are_named(text: str) -> None:
    assert may_change_graph(manifest(GETS, text), "duckdb", []) == "macro.shop.m1"


def test_hooks_and_selected_models_count_and_those_that_are_not_selected_do_not() -> None:
    text = "{% do graph.update({}) %}"
    for project in (manifest(model=text), manifest(hook=text)):
        assert may_change_graph(project, "duckdb", ["model.shop.a"]) == "model.shop.a"
        assert may_change_graph(project, "duckdb", []) is None
        assert speaks_of_graph(project, "duckdb")


def test_packages_that_only_read_graph_change_nothing_and_dbts_own_do_not_count() -> None:
    text = f"{READS}{{% endfor %}}{{{{ return(found) }}}}{{% endmacro %}}"
    uses = "{% macro uses() %}{% set names = reads() %}{% do names.append('x') %}{% endmacro %}"
    project = manifest(text, GETS, uses)
    assert may_change_graph(project, "duckdb", []) is None
    assert speaks_of_graph(project, "duckdb")
    assert not speaks_of_graph(manifest("{% macro m() %}{% do [].append(1) %}{% endmacro %}"), "duckdb")
