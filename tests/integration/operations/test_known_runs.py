"""Runs that another terminal has started: listed, looked at, followed, cancelled; against a real server."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from rich.console import Console

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.entrypoints.cli.operators import nodes
from dbt_temporal.entrypoints.cli.operators.runs import attach, cancel, print_runs, print_status
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

A = "model.shop.a"
WEEK = timedelta(days=7)


@pytest.fixture
def target(runs: RunHarness, temporal_address: str) -> Target:
    runs.static_search_attributes = {"DbtStatus": "running"}
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    connection = ConnectionSettings(address=temporal_address, task_queue=runs.task_queue)
    return Target(connection, TracingSettings(), {}, "http://ui.internal")


def console() -> Console:
    return Console(file=io.StringIO(), width=200, highlight=False)


def text(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


async def listed(target: Target, **chosen: str) -> list[dict[str, str]]:
    shown = console()
    wanted = {"project": None, "status": None, **chosen}
    await print_runs(target, WEEK, wanted["project"], wanted["status"], 20, True, shown)
    return [json.loads(line) for line in text(shown).splitlines()]


async def test_runs_are_listed_newest_first_with_what_became_of_them(runs: RunHarness, target: Target) -> None:
    passed = await runs.submit({"command": "run", "select": "a b"})
    await passed.outcome()
    runs.engine.script[A] = [FakeEngine.fails(A, "no", retryable=False)]
    failed = await runs.submit()
    await failed.outcome()
    held = await runs.submit({"on_failure": "hold"})

    async def all_there() -> bool:
        return [each["status"] for each in await listed(target)] == ["held", "failed", "passed"]

    await wait_for(all_there, what="visibility has all three")
    found = await listed(target, project="shop")
    assert [each["workflow_id"] for each in found] == [held.workflow_id, failed.workflow_id, passed.workflow_id]
    assert (found[2]["command"], found[2]["select"], found[2]["project"]) == ("run", "a b", "shop")
    assert [each["workflow_id"] for each in await listed(target, status="failed")] == [failed.workflow_id]
    assert await listed(target, project="another") == []
    shown = console()
    await print_runs(target, WEEK, None, None, 1, False, shown)
    heads, first = text(shown).splitlines()
    assert heads.split() == ["STARTED", "STATUS", "FOR", "PROJECT", "COMMAND", "WORKFLOW", "ID"]
    assert held.workflow_id in first
    await cancel(target, [held.workflow_id], None, console())
    await held.outcome()


async def test_a_run_that_could_not_be_planned_is_listed_with_the_project_that_was_asked_for(
    runs: RunHarness, target: Target
) -> None:
    await runs.start_worker()
    by_input = await runs.submit({"command": "test", "project": "lost", "select": "a"})
    plain_id = f"dbt-build-lost-20260131-060000-{uuid4().hex[:6]}"
    refused = {"project": "unheard_of"}
    await runs.client.start_workflow("dbt_run", refused, id=plain_id, task_queue=runs.task_queue)
    for workflow_id in (by_input.workflow_id, plain_id):
        await runs.gateway.find(workflow_id).outcome()

    async def both_there() -> bool:
        return [each["status"] for each in await listed(target, project="lost")] == ["failed", "failed"]

    await wait_for(both_there, what="visibility has both")
    asked = {(each["workflow_id"], each["command"], each["select"]) for each in await listed(target, project="lost")}
    assert asked == {(by_input.workflow_id, "test", "a"), (plain_id, "build", None)}
    assert await listed(target, project="shop") == []


async def test_the_newest_run_is_looked_at_followed_and_cancelled(runs: RunHarness, target: Target) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)

    async def known() -> bool:
        return bool(await listed(target, project="shop"))

    await wait_for(known, what="visibility knows its project")
    shown = console()
    await print_status(target, None, None, shown)
    assert text(shown).splitlines()[:5] == [
        run.workflow_id,
        "phase: executing",
        "nodes: 2 (1 running)",
        "running: model.shop.a",
        f"http://ui.internal/namespaces/default/workflows/{run.workflow_id}",
    ]
    following = console()
    attached = asyncio.create_task(attach(target, None, "shop", following, console()))
    await wait_for(lambda: _says(following, "START"), what="it is followed")
    await cancel(target, [run.workflow_id], None, console())
    assert await attached == 2
    assert "CANCELLED" in text(following)
    again = console()
    await cancel(target, [run.workflow_id], None, again)
    assert text(again) == f"{run.workflow_id} has ended already: nothing is asked of it\n"
    ended = console()
    await print_status(target, run.workflow_id, None, ended)
    phase, nodes = text(ended).splitlines()[1:3]
    assert phase.startswith("ended: cancelled, at 20")
    assert nodes == "nodes: 2 (1 skipped, 1 cancelled)"


async def test_cancel_without_an_id_is_for_the_only_run_that_goes_on(
    runs: RunHarness, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DbtTemporalError, match="no run of the project 'shop' goes on"):
        await cancel(target, [], "shop", console())
    runs.engine.gates[A] = asyncio.Event()
    first, second = await runs.submit(), await runs.submit({"command": "run"})

    async def listed_are(*ids: str) -> bool:
        return {each["workflow_id"] for each in await listed(target, status="running")} == set(ids)

    await wait_for(lambda: listed_are(first.workflow_id, second.workflow_id), what="visibility has both")
    with pytest.raises(DbtTemporalError, match="several runs go on; say which by its ID") as refused:
        await cancel(target, [], None, console())
    for run in (first, second):
        assert f"  {run.workflow_id}: " in refused.value.message
    await cancel(target, [second.workflow_id], None, console())
    await second.outcome()
    await wait_for(lambda: listed_are(first.workflow_id), what="the second has ended")
    shown = console()
    await cancel(target, [], "shop", shown)
    assert text(shown).startswith(f"Cancels {first.workflow_id}: build, running since 20")
    await first.outcome()
    attached = console()
    await attach(target, first.workflow_id, None, attached, console())
    assert "The newest run is" not in capsys.readouterr().err
    await attach(target, None, None, attached, console())
    assert "The newest run is run-" in capsys.readouterr().err


async def _says(shown: Console, what: str) -> bool:
    return what in text(shown)


async def test_the_retry_that_is_offered_names_the_project(runs: RunHarness, target: Target) -> None:
    runs.write_artifacts = True
    runs.engine.script[A] = [FakeEngine.fails(A, "Got 3 results", error_type=ErrorType.TEST_FAILURE)]
    run = await runs.submit()
    await run.outcome()
    shown = console()
    assert await attach(target, run.workflow_id, None, shown, console()) == 1
    assert f"dbt-temporal retry {run.workflow_id} --project shop" in text(shown)


async def test_where_no_worker_answers_that_is_what_is_said(
    runs: RunHarness, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "ANSWER_SECS", 0.5)
    run = await TemporalRunGateway(runs.client, runs.task_queue).submit({}, f"alone-{uuid4().hex[:8]}")
    with pytest.raises(DbtTemporalError, match=f"no worker has answered for '{run.workflow_id}'"):
        await nodes.operate(target, run.workflow_id, ["a"], "retry", False, console())
    await run.terminate("the test is over")


async def test_a_run_that_is_not_there_is_told(runs: RunHarness, target: Target) -> None:
    await runs.start_worker()
    with pytest.raises(DbtTemporalError, match="no run of the project 'nothing' has begun"):
        await print_status(target, None, "nothing", console())
    with pytest.raises(DbtTemporalError, match="has no run 'nowhere'"):
        await cancel(target, ["nowhere"], None, console())
