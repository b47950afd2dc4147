"""What a host says of `graph`."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from dbt.contracts.graph.manifest import Manifest
from dbt_common.clients.jinja import MacroFuzzEnvironment, get_environment

from dbt_temporal.adapters.dbt_core.process.kept import texts
from dbt_temporal.adapters.dbt_core.process.kept.graph import KeptGraph

MODEL = "model.shop.a"


@pytest.fixture(autouse=True)
def _no_adapters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(texts, "get_adapter_package_names", lambda _name: [])
    call = MacroFuzzEnvironment.call
    yield
    MacroFuzzEnvironment.call = call


def manifest(code: str) -> Manifest:
    node = SimpleNamespace(raw_code=code, config=SimpleNamespace())
    return cast(Manifest, SimpleNamespace(macros={}, nodes={MODEL: node}, flat_graph={}))


def changes(project: Manifest) -> None:
    get_environment(None).from_string("{% do graph.update(kept=1) %}").render({"graph": project.flat_graph})


def test_why_a_run_keeps_to_its_process_is_said_in_words() -> None:
    project = manifest("{% do graph.update(kept=1) %}")
    kept = KeptGraph(project, "duckdb")
    assert kept.why_kept([]) is None
    assert kept.why_kept([MODEL]) == "model.shop.a may change Jinja's `graph`"
    with kept.doing("on-run-start"):
        changes(project)
    assert kept.started() == kept.started() is not None
    assert kept.why_kept([]) == "on-run-start has changed 'kept' in Jinja's `graph`"


def test_what_no_other_process_can_have_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    project = manifest("graph")
    kept = KeptGraph(project, "duckdb")
    with kept.doing("on-run-start"):
        get_environment(None).from_string("{% do graph.update(n=namespace()) %}").render({"graph": project.flat_graph})
    kept.started()
    kept.ended(MODEL)
    problem = "on-run-start has called update() with a value that cannot be pickled"
    assert kept.why_kept([]) == (
        f"on-run-start has changed 'n' in Jinja's `graph`, but no other process can have that: {problem}"
    )
    assert capsys.readouterr().out == f"the run cannot go on in another process: {problem}\n"


def test_a_project_that_does_not_speak_of_graph_is_not_watched() -> None:
    call = MacroFuzzEnvironment.call
    project = manifest("select 1")
    kept = KeptGraph(project, "duckdb")
    assert MacroFuzzEnvironment.call is call
    changes(project)
    assert (kept.started(), kept.ended(MODEL), kept.why_kept([MODEL])) == (None, None, None)
