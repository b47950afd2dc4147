"""Records the histories in tests/histories: `python -m tests.record_histories [NAME]...`.

They are what runs of released versions left behind: a workflow code change that cannot replay them would break runs
that go on during an upgrade. Record anew only on purpose, never to make a failing replay test pass.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from temporalio.client import WorkflowHistory

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.connection.search_attributes import register_search_attributes
from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.adapters.temporal.payloads import plan_pieces
from dbt_temporal.application.ports.engine import Prepared
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.leases.leased_runs import LeasedRuns
from tests.integration.run_harness import RunHarness
from tests.integration.servers import SEARCH_ATTRIBUTES, temporal_dev_server, wait_for

HISTORIES = Path(__file__).parent / "histories"

A, B = "model.shop.a", "model.shop.b"


async def failed_build(runs: RunHarness) -> TemporalRun:
    """A retry, a failed test, skipped nodes, hooks of dbt, artifacts; enough nodes for several memos."""
    runs.write_artifacts = True
    chain = [node(f"n{number}", *([f"n{number - 1}"] if number else [])) for number in range(10)]
    runs.engine.run_plan = plan(
        node("a"),
        node("test.shop.t", "a"),
        node("b", "a", "test.shop.t"),
        *chain,
        has_on_run_start=True,
        has_on_run_end=True,
    )
    runs.engine.on_run_start = [FakeEngine.succeeds("operation.shop.shop-on-run-start-0")]
    runs.engine.on_run_end = [FakeEngine.succeeds("operation.shop.shop-on-run-end-0")]
    runs.engine.script[A] = [FakeEngine.fails(A), FakeEngine.succeeds(A)]
    failure = FakeEngine.fails("test.shop.t", "Got 3 results", error_type=ErrorType.TEST_FAILURE, status="fail")
    runs.engine.script["test.shop.t"] = [failure]
    run = await runs.submit({"select": "+b", "vars": {"day": 1}})
    await run.outcome()
    return run


async def cancelled_run(runs: RunHarness) -> TemporalRun:
    """A run that was cancelled while one node ran and another waited, after an update."""
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    await run.handle.execute_update("set_fail_fast", True)
    await run.cancel()
    await run.outcome()
    return run


async def run_with_hooks(runs: RunHarness) -> TemporalRun:
    """dbt_run as its own pre_run hook, and a hook that nobody serves."""
    runs.engine.run_plan = plan(node("a"))
    hooks = {
        "pre_run": [{"workflow_type": "dbt_run", "task_queue": runs.task_queue, "input": {"hooks": {}}}],
        "on_success": [{"workflow_type": "nobody", "task_queue": "nobody", "timeout_secs": 1}],
    }
    run = await runs.submit({"hooks": hooks, "env": {"SCHEMA": "x"}})
    await run.outcome()
    return run


async def fail_fast_run(runs: RunHarness) -> TemporalRun:
    """A failure with fail-fast, while a node runs for which all that is left waits."""
    runs.engine.run_plan = plan(node("a"), node("b"), node("c", "b"))
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
    runs.engine.gates[B] = asyncio.Event()
    run = await runs.submit({"fail_fast": True})
    await runs.has_begun(B)

    async def has_failed() -> bool:
        return bool((await run.handle.query("node_status")).get(A) == "error")

    await wait_for(has_failed)
    runs.engine.gates[B].set()
    await run.outcome()
    return run


async def kept_run(runs: RunHarness) -> TemporalRun:
    """A run that keeps to one worker, with a retry and on-run-end there."""
    runs.engine.prepared = Prepared(keeps_state="on-run-start has changed 'kept'", worker="one")
    runs.engine.run_plan = plan(node("a"), node("b", "a"), has_on_run_start=True, has_on_run_end=True)
    runs.engine.script[A] = [FakeEngine.fails(A), FakeEngine.succeeds(A)]
    run = await runs.submit()
    await run.outcome()
    return run


async def handed_on_run(runs: RunHarness) -> TemporalRun:
    """The same where the nodes come by the run's own queue, but for one of four that may start at once."""
    runs.engine.prepared = Prepared(keeps_state="on-run-start has changed 'kept'", worker="one")
    runs.engine.run_plan = plan(*map(node, "abcd"), node("e", "a", "b", "c", "d"), has_on_run_end=True)
    run = await runs.submit({"threads": 4})
    await run.outcome()
    return run


async def leased_run(runs: RunHarness) -> TemporalRun:
    """A run that waits for another one, is planned again, and gives its lease back."""
    leased = LeasedRuns(runs)
    first = await leased.holder()
    second = await leased.waiter()
    await first.cancel()
    await first.outcome()
    leased.gate.set()
    await second.outcome()
    return second


async def kept_leases(runs: RunHarness) -> TemporalRun:
    """The workflow that keeps leases: one is given back, one waits for a run that is terminated, one withdraws."""
    leased = LeasedRuns(runs)
    first = await leased.holder("a")
    second = await leased.waiter("a b")
    third = await leased.waiter("b")
    fourth = await leased.waiter("a")
    await third.cancel()
    await third.outcome()
    await first.terminate("test")
    leased.gate.set()
    await second.outcome()
    await fourth.outcome()
    await leased.keeper.result()
    return TemporalRun(leased.keeper)


async def repaired_run(runs: RunHarness) -> TemporalRun:
    """A run that is kept open: an attempt that an operator has come at once, a retry after the end, a skip, a hold."""
    runs.config = {"retry": {"initial_interval_secs": 600, "max_interval_secs": 600}}
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c", "b"), node("d", "b"), has_on_run_end=True)
    runs.engine.script[A] = [FakeEngine.fails(A), FakeEngine.fails(A, retryable=False), FakeEngine.succeeds(A)]
    run = await runs.submit({"on_failure": "hold"})

    async def says(text: str, times: int) -> None:
        async def said() -> bool:
            return sum(text in line for line in await run.handle.query("run_log")) == times

        await wait_for(said, what=text)

    await says("RETRY after attempt 1", 1)
    await run.handle.execute_update("hold_nodes", ["c"])
    await run.handle.execute_update("skip_nodes", ["d"])
    await run.handle.execute_update("retry_now")
    await says("The run is kept open", 1)
    await run.handle.execute_update("retry_nodes", ["a"])
    await says("The run is kept open", 2)
    await run.handle.execute_update("retry_nodes", ["c"])
    await says("The run is kept open", 3)
    await run.handle.execute_update("finish")
    await run.outcome()
    return run


async def run_of_a_large_plan(runs: RunHarness) -> TemporalRun:
    """A run whose plan comes in pieces, though it is not that large."""
    nodes, size = plan_pieces.MIN_NODES, plan_pieces.NODES_OF_A_PIECE
    plan_pieces.MIN_NODES, plan_pieces.NODES_OF_A_PIECE = 3, 2
    try:
        runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c", "b"))
        run = await runs.submit({"select": "a+"})
        await run.outcome()
    finally:
        plan_pieces.MIN_NODES, plan_pieces.NODES_OF_A_PIECE = nodes, size
    return run


SCENARIOS: dict[str, Callable[[RunHarness], Awaitable[TemporalRun]]] = {
    "failed_build": failed_build,
    "cancelled_run": cancelled_run,
    "run_with_hooks": run_with_hooks,
    "fail_fast_run": fail_fast_run,
    "kept_run": kept_run,
    "handed_on_run": handed_on_run,
    "leased_run": leased_run,
    "leases/kept_leases": kept_leases,
    "repaired_run": repaired_run,
    "run_of_a_large_plan": run_of_a_large_plan,
}


async def record(address: str, names: Collection[str] = ()) -> dict[str, WorkflowHistory]:
    """Runs the scenarios of these names, else all, on a server, and returns their histories."""
    client = await connect(ConnectionSettings(address=address))
    await register_search_attributes(client, SEARCH_ATTRIBUTES)
    histories = {}
    for name, scenario in SCENARIOS.items():
        if names and name not in names:
            continue
        async with AsyncExitStack() as stack:
            run = await scenario(RunHarness(client, f"record-{uuid4().hex}", stack))
            histories[name] = await run.handle.fetch_history()
    return histories


def without_traces(history: str) -> str:
    """The history without stack traces, which replay does not read and which hold the paths of one machine."""
    return re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', history)


def main() -> int:
    """Writes the histories as files: those that are named, else all."""
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, temporal_dev_server(Path(folder) / "server.log") as address:
        for name, history in asyncio.run(record(address, sys.argv[1:])).items():
            path = HISTORIES / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(without_traces(history.to_json()) + "\n")
            print(f"{path.name}: {len(history.events)} events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
