"""The logs and results of runs, asked for at a terminal; against a real server."""

from __future__ import annotations

import asyncio
import json

import pytest

from dbt_temporal.domain.batches import Batches, EndedBatch
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.operators.told import print_logs, print_results
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.operations.test_stored_files import A, Shown, is_listed, target
from tests.integration.run_harness import RunHarness

__all__ = ["target"]


async def logs(target: Target, workflow_id: str | None, name: str | None = None) -> str:
    shown = Shown()
    assert await print_logs(target, workflow_id, name, None, shown) == 0
    return shown.text


async def results(target: Target, workflow_id: str | None, *, as_json: bool = False) -> str:
    shown = Shown()
    assert await print_results(target, workflow_id, None, as_json, shown) == 0
    return shown.text


async def test_the_log_of_a_run_is_the_stored_one(runs: RunHarness, target: Target) -> None:
    run = await runs.submit()
    await run.outcome()
    told = await run.handle.query("run_log")
    assert await logs(target, run.workflow_id) == "".join(f"{line}\n" for line in told)
    await is_listed(target, run.workflow_id)
    assert await logs(target, None) == await logs(target, run.workflow_id)


async def test_the_log_of_a_run_that_goes_on_is_what_its_worker_tells(runs: RunHarness, target: Target) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    assert "1 of 2 START table_model shop.a" in await logs(target, run.workflow_id)
    with pytest.raises(DbtTemporalError, match=r"no log of model\.shop\.a at .*: it has not ended yet"):
        await logs(target, run.workflow_id, "a")
    with pytest.raises(DbtTemporalError, match=rf"goes on: `dbt-temporal status {run.workflow_id}` says"):
        await results(target, run.workflow_id)


async def test_the_log_of_a_node_is_found_by_its_names(runs: RunHarness, target: Target) -> None:
    run = await runs.submit()
    await run.outcome()
    for name in ("a", "model:a", A):
        assert await logs(target, run.workflow_id, name) == f"log of {A}\n"
    await is_listed(target, run.workflow_id)
    assert await logs(target, None, "b") == "log of model.shop.b\n"
    assert await logs(target, "b") == "log of model.shop.b\n", "no workflow is called so"


async def test_what_is_not_there_is_told(runs: RunHarness, target: Target) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, "no", retryable=False)]
    run = await runs.submit()
    await run.outcome()
    await is_listed(target, run.workflow_id)
    with pytest.raises(DbtTemporalError, match=r"the run has no node 'aa'; did you mean model\.shop\.a"):
        await logs(target, run.workflow_id, "aa")
    with pytest.raises(DbtTemporalError, match=r"no log of model\.shop\.b at .*: nothing of it ran"):
        await logs(target, run.workflow_id, "b")
    with pytest.raises(DbtTemporalError, match="no run 'nobody'; and as a node of the newest one: the run has no node"):
        await logs(target, "nobody")
    with pytest.raises(DbtTemporalError, match="there is no run 'nobody'; `dbt-temporal runs` lists"):
        await logs(target, "nobody", "a")


async def test_the_log_of_a_microbatch_model_has_those_of_its_batches(runs: RunHarness, target: Target) -> None:
    runs.engine.run_plan = plan(node("a", batched=True), node("model.shop.a.v2"))
    batches = Batches(
        windows=[("2026-01-01", "2026-01-02"), ("2026-01-02", "2026-01-03")], names=["20260101", "20260102"]
    )
    whole = FakeEngine.succeeds(A)

    def outcome(**fields: object) -> object:
        from dataclasses import replace

        return replace(whole, result=whole.result.model_copy(update=fields))

    runs.engine.script[A] = [
        outcome(batches=batches),  # type: ignore[list-item]
        outcome(batch=EndedBatch(index=0, status="success", side_by_side=False)),  # type: ignore[list-item]
        outcome(batch=EndedBatch(index=1, status="success", side_by_side=False)),  # type: ignore[list-item]
        outcome(),  # type: ignore[list-item]
    ]
    run = await runs.submit()
    await run.outcome()
    heads = [line for line in (await logs(target, run.workflow_id, A)).splitlines() if line.startswith("-- ")]
    assert heads == [f"-- {A}.log", f"-- {A}.20260101.log", f"-- {A}.20260102.log"]


async def test_the_results_of_a_run_are_a_table(runs: RunHarness, target: Target) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, "Database Error\n  no [bold]such[/] table", retryable=False)]
    runs.write_artifacts = False
    run = await runs.submit()
    await run.outcome()
    heads, a, b = (await results(target, run.workflow_id)).splitlines()
    assert heads.split() == ["NODE", "STATUS", "TIME", "ROWS", "MESSAGE"]
    assert a.split() == ["model", "a", "error", "0.00s", "Database", "Error", "no", "[bold]such[/]", "table"]
    assert b.split() == ["model", "b", "skipped", "0.00s", f"{A}", "failed"]
    listed = [json.loads(line) for line in (await results(target, run.workflow_id, as_json=True)).splitlines()]
    assert [(each["unique_id"], each["status"]) for each in listed] == [(A, "error"), ("model.shop.b", "skipped")]
    assert listed[0]["message"] == "Database Error\n  no [bold]such[/] table"


async def test_a_cancelled_run_has_results_where_they_are_stored(runs: RunHarness, target: Target) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    await run.cancel()
    await run.outcome()
    with pytest.raises(DbtTemporalError, match=r"run_results\.json is no run_results\.json of dbt"):
        # The fake engine's is none; tests of dbt read a real one.
        await results(target, run.workflow_id)
