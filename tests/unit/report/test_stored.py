"""The report among a run's artifacts, and the times that the run takes note of for it."""

import asyncio
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.in_process.runtime import run_in_process
from dbt_temporal.adapters.report_page.page import html_page
from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.secrets.keeping_engine import SecretKeepingEngine
from dbt_temporal.application.steps.messages import StoreArtifactsInput, StoreArtifactsOutput
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.application.stored.late_writes import Patience
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.report.model import NodeFacts, ReportFacts, RunGraph
from dbt_temporal.domain.results import ArtifactPaths, NodeExecutionResult
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.plan import HistoryLimits
from dbt_temporal.testing import (
    FakeEngine,
    FakeEngineRun,
    FakeReportPage,
    FakeRuntime,
    FakeSecretResolver,
    InMemoryArtifactStore,
    model_id,
    node,
    plan,
    planned,
    ready_project,
    result,
    until,
)
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.executions.test_hand_over import to_the_end
from tests.unit.report.runs import facts_of, ran, report_of
from tests.unit.run.runs import execute, failure, runtime_of, start
from tests.unit.steps.test_use_cases import invocation

PLACE = f"{INVOCATION_ID}/report.html"
SUMMARY = "reports/shop/dev/build.json"
NO_PATIENCE = Patience(missing_secs=0)
NODES = (node("a"), node("b", "a"))


class World:
    def __init__(self, make_page: FakeReportPage | None = None, engine: FakeEngine | None = None) -> None:
        self.store = InMemoryArtifactStore()
        self.engine = engine or FakeEngine(plan(*NODES))
        registry = ProjectRegistry([ready_project()])
        page = make_page or FakeReportPage()
        self.use_cases = UseCases.build(self.engine, registry, self.store, report_page=page, patience=NO_PATIENCE)

    async def store_run(self, invocation_id: str = INVOCATION_ID, **fields: Any) -> StoreArtifactsOutput:
        asked: dict[str, Any] = {"results": [ran("a", 1, 2), ran("b", 2, 3)], "report": facts_of()} | fields
        of = invocation().model_copy(update={"invocation_id": invocation_id})
        return await self.use_cases.store_artifacts(StoreArtifactsInput(invocation=of, **asked))

    def report(self, invocation_id: str = INVOCATION_ID) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.store.files[f"{invocation_id}/report.html"])
        return document


async def test_the_report_lies_beside_the_artifacts() -> None:
    world = World()
    stored = await world.store_run()
    assert (stored.report_path, stored.report_problem) == (f"memory://{PLACE}", None)
    assert world.report() == {"command": "dbt build", "nodes": ["a", "b"], "before": None}


async def test_a_run_that_asks_for_none_has_none() -> None:
    world = World()
    assert (await world.store_run(report=None)).report_path is None
    assert PLACE not in world.store.files


async def test_a_command_that_executes_nothing_has_none() -> None:
    world = World()
    listing = invocation().model_copy(update={"input": parse_run_input({"command": "list"})})
    asked = StoreArtifactsInput(invocation=listing, results=[result("a")], report=facts_of())
    assert (await world.use_cases.store_artifacts(asked)).report_path is None


async def test_a_run_is_compared_with_the_one_before_however_often_its_report_is_made() -> None:
    world = World()
    for invocation_id in ("one", "two", "two"):
        await world.store_run(invocation_id)
    assert world.report("two")["before"] == "one"
    await world.store_run("elsewhere", report=facts_of(target="prod"))
    assert world.report("elsewhere")["before"] is None


async def test_a_cancelled_run_is_compared_and_no_run_is_compared_with_it() -> None:
    world = World()
    await world.store_run("one")
    await world.store_run("two", report=facts_of(cancelled=True))
    await world.store_run("three")
    assert (world.report("two")["before"], world.report("three")["before"]) == ("one", "one")


async def test_a_run_whose_artifacts_are_stored_late_is_compared_with_none() -> None:
    world = World()
    await world.store_run("one")
    await world.store_run("two", ended_at="2026-01-01T00:00:00+00:00")
    await world.store_run("three")
    assert (world.report("two")["before"], world.report("three")["before"]) == (None, "one")


async def test_a_damaged_summary_is_no_run_before() -> None:
    world = World()
    world.store.files[SUMMARY] = b"{"
    await world.store_run()
    assert world.report()["before"] is None


@pytest.mark.parametrize("broken", ["page", "graph", "store"])
async def test_a_report_that_cannot_be_made_costs_the_run_nothing_else(broken: str) -> None:
    class NoGraph(FakeEngineRun):
        async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
            raise RuntimeError(f"no graph of {list(with_code)}")

    world = World(FakeReportPage(RuntimeError("no page") if broken == "page" else None))
    if broken == "graph":
        world.engine.run_class = NoGraph
    if broken == "store":
        world.store.broken = [PLACE]
    stored = await world.store_run()
    assert stored.report_path is None
    assert stored.report_problem
    assert stored.artifacts.run_results_path == f"memory://{INVOCATION_ID}/run_results.json"


async def test_the_run_log_says_that_there_is_no_report() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True, write_report=True)
    paths = ArtifactPaths(run_results_path="/store/run_results.json")
    runtime.store_artifacts = StoreArtifactsOutput(artifacts=paths, report_problem="the page is broken")
    run, task = start(runtime)
    output = await task
    assert output.success
    assert run.run_log()[-2:] == ["Making the report of the run failed:", "     the page is broken"]


async def test_secrets_stand_in_no_report() -> None:
    class Telling(FakeEngineRun):
        async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
            nodes = {uid: NodeFacts(uid, "model") for uid in with_code}
            return RunGraph(nodes, dict.fromkeys(with_code, "select 'hunter2-is-secret' as password"))

    engine = FakeEngine(plan(*NODES))
    engine.run_class = Telling
    message = "Database Error: password hunter2-is-secret is wrong <b>"
    engine.script[model_id("a")] = [engine.fails(model_id("a"), message, retryable=False)]
    keeping = SecretKeepingEngine(engine, FakeSecretResolver(), {})
    store = InMemoryArtifactStore()
    use_cases = UseCases.build(
        keeping, ProjectRegistry([ready_project()]), store, report_page=html_page, write_artifacts=True
    )
    run_input = {"env": {"DB_PASSWORD": "hunter2-is-secret"}, "command": "build"}
    output = await asyncio.wait_for(run_in_process(run_input, use_cases), 60)
    assert output.report_path is not None
    shown = next(content for path, content in store.files.items() if path.endswith("report.html")).decode()
    assert "hunter2" not in shown
    assert "password *** is wrong &lt;b&gt;" in shown
    assert "select &#x27;***&#x27; as password" in shown


def stored_results(runtime: FakeRuntime) -> dict[str, NodeExecutionResult]:
    assert runtime.stored is not None
    return {each.unique_id.rpartition(".")[2]: each for each in runtime.stored.results}


async def test_the_run_takes_note_of_times_and_of_failed_attempts() -> None:
    runtime = runtime_of(*NODES, write_artifacts=True, write_report=True)
    runtime.retries = {model_id("b"): ["connection lost"]}
    output = await execute(runtime)
    results = stored_results(runtime)
    a, b = results["a"].times, results["b"].times
    assert a is not None
    assert b is not None
    assert a.ended is not None
    assert b.ended is not None
    assert a.started < a.ended <= b.started < b.ended
    assert (a.failed, a.last) == ([], None)
    assert [each.reason for each in b.failed] == ["Adapter: connection lost"]
    assert b.started == b.failed[0].began < b.failed[0].ended <= (b.last or 0) < b.ended
    assert [each.times for each in output.node_results] == [None, None], "the output has no room for them"
    assert runtime.stored is not None
    assert runtime.stored.report is not None
    assert runtime.stored.report.ended >= b.ended
    assert (runtime.stored.report.target, runtime.stored.report.threads, runtime.stored.report.success) == (
        "dev",
        4,
        True,
    )


async def test_a_plan_from_before_has_no_report_and_takes_note_of_nothing() -> None:
    runtime = runtime_of(*NODES, write_artifacts=True)
    await execute(runtime)
    assert [each.times for each in stored_results(runtime).values()] == [None, None]
    assert runtime.stored is not None
    assert runtime.stored.report is None


async def test_a_failed_node_has_times_and_what_never_ran_has_none() -> None:
    runtime = runtime_of(*NODES, write_artifacts=True, write_report=True)
    runtime.nodes[model_id("a")] = failure("Database Error\n  no such table", "a")
    await execute(runtime)
    results = stored_results(runtime)
    assert results["a"].times is not None
    assert [each.reason for each in results["a"].times.failed] == ["Adapter: Database Error no such table"]
    assert results["b"].times is None
    assert runtime.stored is not None
    assert runtime.stored.report is not None
    assert not runtime.stored.report.success


async def test_a_cancelled_run_says_so_in_its_report() -> None:
    runtime = runtime_of(*NODES, write_artifacts=True, write_report=True)
    runtime.gates[model_id("a")] = asyncio.Event()
    _, task = start(runtime)
    await until(lambda: bool(runtime.nodes_started))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runtime.stored is not None
    assert runtime.stored.report is not None
    assert (runtime.stored.report.cancelled, runtime.stored.report.success) == (True, False)
    assert stored_results(runtime)["a"].times is not None


async def test_times_are_carried_into_further_executions() -> None:
    chain = (node("a"), node("b", "a"), node("c", "b"), node("d", "c"))
    lost = StepFailedError(ErrorType.ADAPTER, "connection lost", retryable=True)
    whole, parts = (
        FakeRuntime(
            planned(
                *chain,
                threads=1,
                first_come=True,
                write_artifacts=True,
                write_report=True,
                continue_after=HistoryLimits(events=10, size_bytes=10),
            )
        )
        for _ in range(2)
    )
    for runtime in (whole, parts):
        runtime.retries = {model_id("c"): [lost]}
    parts.hand_over_after = 2
    for runtime in (whole, parts):
        await to_the_end(runtime)
    assert parts.carried
    assert {name: each.times for name, each in stored_results(parts).items()} == {
        name: each.times for name, each in stored_results(whole).items()
    }


def test_facts_that_are_missing_have_defaults() -> None:
    assert ReportFacts.model_validate({}) == ReportFacts()


def test_the_page_is_a_file_that_opens(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.write_bytes(html_page(report_of(ran("a", 1, 2))))
    assert place.read_text(encoding="utf-8").startswith("<!doctype html>")
