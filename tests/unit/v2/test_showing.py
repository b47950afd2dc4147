"""What dbt v2 shows of nodes, and finds out about sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from dbt_temporal.adapters.dbt_v2.plan import Manifest
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.told import Told
from dbt_temporal.adapters.dbt_v2.results import outcome_of
from dbt_temporal.adapters.dbt_v2.runs.catalog import left_catalog
from dbt_temporal.adapters.dbt_v2.runs.showing import (
    chosen,
    with_freshness,
    with_printed_code,
    with_rows,
    write_sources,
)
from dbt_temporal.application.ports.engine import CompletedNode
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.log.said import plain
from dbt_temporal.domain.run.input import parse_run_input
from tests.unit.v2.told import begun, completed, end, ended, hear, line, shows

FRESH, OLD = "source.p.s.fresh", "source.p.s.old"
OURS = {"invocation_id": "ours", "dbt_version": "2.0.0"}


def left(folder: Path, number: int, *entries: tuple[str, str]) -> V2Process:
    """A process that has written sources.json."""
    process = V2Process(number, folder / str(number), None)
    process.target.mkdir(parents=True)
    results = [
        {"unique_id": name, "status": status, "max_loaded_at": "2026-01-01T00:00:00Z"} for name, status in entries
    ]
    document = {"metadata": {"invocation_id": "other"}, "results": results, "elapsed_time": 0.0}
    (process.target / "sources.json").write_bytes(orjson.dumps(document))
    end(process, completed())
    return process


def source(**freshness: Any) -> dict[str, Any]:
    return {"resource_type": "source", "name": "s", "package_name": "p", "freshness": freshness or None}


def test_sources_without_a_limit_are_not_checked() -> None:
    limit = {"count": 1, "period": "day"}
    sources = {"a": source(warn_after=limit), "b": source(error_after=limit), "c": source()}
    sources["d"] = source(warn_after={"count": None, "period": None})
    manifest = Manifest({"metadata": {}, "sources": sources})
    assert chosen("source-freshness", manifest, ["a", "b", "c", "d"]) == ["a", "b"]


def test_one_node_alone_is_shown() -> None:
    manifest = Manifest({"metadata": {}})
    assert chosen("show", manifest, ["model.p.a"]) == ["model.p.a"]
    assert chosen("build", manifest, ["model.p.a", "model.p.b"]) == ["model.p.a", "model.p.b"]
    with pytest.raises(DbtTemporalError, match=r"only one node can be selected for show: model\.p\.a, model\.p\.b"):
        chosen("show", manifest, ["model.p.a", "model.p.b"])


def test_code_and_rows_are_those_that_dbt_shows() -> None:
    process = V2Process(1, Path("/nowhere"), None)
    hear(
        process,
        begun("model.p.a"),
        shows("model.p.a", "CompiledNode", "select 1", compiled="select 1"),
    )
    hear(process, ended("model.p.a"))
    assert outcome_of(process.told.nodes["model.p.a"], "model", as_code=True).result.compiled_code == "select 1"
    hear(process, shows("model.p.a", "ShowNode", "...", preview='[{"a": 1}]'))
    told = process.told.nodes["model.p.a"]
    assert with_rows(outcome_of(told, "model"), told.shown).result.rows == [{"a": 1}]
    assert with_rows(outcome_of(told, "model"), "no rows").result.rows is None


def test_an_inline_query_is_shown_under_another_name_than_it_runs() -> None:
    process = V2Process(1, Path("/nowhere"), None)
    hear(process, line("PrintEvent", message="said while it was parsed"), begun("model.p.inline"))
    name = "sql_operation.inline_query"
    hear(process, shows(name, "ShowNode", "[]", preview='[{"a": 1}]', is_inline=True), ended("model.p.inline"))
    told = process.told.nodes["model.p.inline"]
    assert with_rows(outcome_of(told, "model"), told.shown).result.rows == [{"a": 1}]
    hear(process, shows(name, "CompiledNode", "Compiled inline node is:", compiled="select 1", is_inline=True))
    assert outcome_of(told, "model", as_code=True).result.compiled_code == "select 1"
    assert [plain(note) for note in process.told.notes] == ["said while it was parsed"]


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ({"inline": "select 1"}, "Compiled inline node is:\nselect 1"),
        ({"select": "b a"}, "Compiled node 'a' is:\nselect 1"),
        ({"select": "+b"}, None),
        ({}, None),
    ],
)
def test_code_is_printed_of_a_query_and_of_what_is_named(given: dict[str, str], printed: str | None) -> None:
    outcome = outcome_of(Told("model.p.a", status="success", shown="select 1"), "model", as_code=True)
    run_input = parse_run_input({"command": "compile", **given})
    assert with_printed_code(outcome, run_input).result.output == printed


async def test_the_catalog_is_that_of_the_last_process_that_has_written_it_whole(tmp_path: Path) -> None:
    processes = [left(tmp_path, number) for number in (1, 2, 3)]
    assert await left_catalog(processes) is None
    for process, content in zip(processes, ('{"nodes": {}}', '{"nodes": {}}', '{"nodes": '), strict=True):
        (process.target / "catalog.json").write_text(content)
    assert await left_catalog(processes) == processes[1].target / "catalog.json"


async def test_a_source_is_as_fresh_as_its_process_has_written(tmp_path: Path) -> None:
    process = left(tmp_path, 1, (FRESH, "Pass"), (OLD, "Error"))
    fresh = await with_freshness(outcome_of(Told(FRESH, status="pass"), "source"), process)
    old = await with_freshness(outcome_of(Told(OLD, status="error"), "source"), process)
    assert fresh is not None
    assert old is not None
    assert (fresh.error, fresh.result.freshness and fresh.result.freshness.status) == (None, "pass")
    assert (old.error and old.error.error_type, old.error and old.error.retryable) == ("StaleSource", False)


async def test_of_a_source_that_cannot_be_asked_the_error_is_the_processs(tmp_path: Path) -> None:
    process = V2Process(1, tmp_path, None)
    text = "[error] [DbDriverFailed (dbt1308)]: IO Error: no such host: Failed to connect"
    end(process, begun(OLD), line("Generic", level="error", message=text), completed(success=False))
    outcome = await with_freshness(outcome_of(Told(OLD, status="error"), "source"), process)
    assert outcome is not None
    assert outcome.result.message == "IO Error: no such host: Failed to connect"
    assert outcome.error is not None
    assert (outcome.error.error_type, outcome.error.retryable) == ("Adapter", True)


def test_of_a_source_that_was_asked_again_the_last_answer_counts(tmp_path: Path) -> None:
    processes = [left(tmp_path, 1, (FRESH, "Error"), (OLD, "Warn")), left(tmp_path, 2, (FRESH, "Pass"))]
    file = write_sources(tmp_path, processes, [], OURS, 1.5)
    assert file is not None
    document = orjson.loads(file.read_bytes())
    assert {each["unique_id"]: each["status"] for each in document["results"]} == {FRESH: "Pass", OLD: "Warn"}
    assert (document["metadata"]["invocation_id"], document["elapsed_time"]) == ("ours", 1.5)
    assert write_sources(tmp_path, [], [], OURS, 0.0) is None


async def test_sources_that_a_lost_machine_has_checked_are_in_sources_json_and_those_of_a_dead_process_are_asked_again(
    tmp_path: Path,
) -> None:
    elsewhere = await with_freshness(
        outcome_of(Told(FRESH, status="pass"), "source"), left(tmp_path / "elsewhere", 1, (FRESH, "Pass"))
    )
    assert elsewhere is not None
    results = [CompletedNode(elsewhere.result, elsewhere.record)]
    for processes in ([], [left(tmp_path, 1, (OLD, "Warn"))]):
        file = write_sources(tmp_path, processes, results, OURS, 1.5)
        assert file is not None
        document = orjson.loads(file.read_bytes())
        found = {each["unique_id"]: each["status"] for each in document["results"]}
        assert found == {FRESH: "Pass", **({OLD: "Warn"} if processes else {})}
        assert document["metadata"]["dbt_version"] == "2.0.0"
    dead = V2Process(1, tmp_path / "dead", None)
    end(dead, begun(FRESH), ended(FRESH, "pass"))
    assert await with_freshness(outcome_of(Told(FRESH, status="pass"), "source"), dead) is None
