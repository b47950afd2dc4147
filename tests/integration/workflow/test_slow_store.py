"""A store that has a bad time during a run."""

from __future__ import annotations

from dbt_temporal.testing import model_id, node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

NODES = [model_id(name) for name in ("a", "b", "c")]


async def test_nodes_do_not_wait_for_a_store_that_refuses_everything_and_nothing_of_them_is_lost(
    runs: RunHarness,
) -> None:
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c", "b"), has_on_run_end=True)
    runs.store.broken = [""]
    run = await runs.submit()

    async def all_have_run() -> bool:
        return runs.engine.executed == NODES

    await wait_for(all_have_run, what="all nodes have run")
    assert runs.store.files == {}
    runs.store.broken = []
    output = (await run.outcome()).output
    assert output is not None
    assert output.success
    assert all(each.record for each in runs.engine.seen_by_on_run_end + runs.engine.seen_by_artifacts)
    assert {each.result.unique_id for each in runs.engine.seen_by_artifacts} >= set(NODES)
    assert not any("were not in the store" in line for line in await run.handle.query("run_log"))
