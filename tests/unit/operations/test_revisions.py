"""A run that is kept open goes on with the project as it is now; and when nothing of it is opened again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dbt_temporal.application.ports.runtime import Step, StepFailedError
from dbt_temporal.application.run.updates import check_update
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.testing import node, planned, result, until
from tests.unit.operations.test_operations import attempts
from tests.unit.run.runs import failure, runtime_of, start, statuses


async def test_a_run_that_is_kept_open_goes_on_with_the_project_as_it_is_now() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c"), node("gone", "a"))
    runtime.nodes["model.shop.a"] = failure("a typo", "a")
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold")
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    del runtime.nodes["model.shop.a"]
    runtime.planned = planned(node("c"), node("new"), node("a", "new"), node("b", "a"))
    await run.take_revision()
    await until(lambda: run.node_status()["model.shop.new"] == "success")
    assert run.node_status() == {
        "model.shop.c": "success", "model.shop.new": "success", "model.shop.a": "error", "model.shop.b": "skipped",
    }  # fmt: skip
    run.open_nodes.operations.do("retry", ["a", "c"])
    output = await task
    assert output.success
    assert statuses(output) == {"c": "success", "new": "success", "a": "success", "b": "success"}
    assert (attempts(runtime, "c"), attempts(runtime, "new")) == ([1, 2], [1])


async def test_a_run_whose_mended_project_cannot_be_planned_stays_open_as_it_was() -> None:
    runtime = runtime_of(node("a"))
    runtime.nodes["model.shop.a"] = failure("a typo", "a")
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold")
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    runtime.planned = StepFailedError(ErrorType.COMPILATION, "another typo")
    with pytest.raises(DbtTemporalError, match="another typo"):
        await run.take_revision()
    assert run.run_status()["failed"] == 1
    run.open_nodes.operations.do("accept", ["a"])
    assert (await task).success


async def test_a_run_takes_no_other_revision_while_nodes_run() -> None:
    runtime = runtime_of(node("a"))
    runtime.gates["model.shop.a"] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: runtime.most_running == 1)
    with pytest.raises(DbtTemporalError, match="nodes run"):
        check_update(run, "take_revision")
    runtime.gates["model.shop.a"].set()
    assert (await task).success


@pytest.mark.parametrize("hook", ["before_run", "after_run"])
async def test_while_hooks_of_the_project_run_no_node_is_opened_again_and_no_other_revision_is_taken(hook: str) -> None:
    runtime = runtime_of(node("a"), node("b", "a"), has_on_run_end=True)
    runtime.nodes["model.shop.a"] = failure("relation is missing", "a")
    go_on, run_step = asyncio.Event(), runtime.run_step

    async def slowly(step: Step[Any]) -> Any:
        output = await run_step(step)
        if step.name == hook:
            await go_on.wait()
        return output

    runtime.run_step = slowly  # type: ignore[method-assign]
    run, task = start(runtime)
    await until(lambda: hook in runtime.step_names)
    with pytest.raises(DbtTemporalError, match=r"on-run-end runs|its turn has not come yet"):
        run.open_nodes.operations.do("retry", ["a"])
    with pytest.raises(DbtTemporalError, match=r"on-run-end runs|is not kept open"):
        await run.take_revision()
    go_on.set()
    output = await task
    assert not output.success
    assert statuses(output) == {"a": "error", "b": "skipped"}
    assert runtime.step_names.count("model:a") == 1


async def test_a_run_that_fail_fast_has_ended_is_repaired_by_a_node_of_a_new_revision() -> None:
    runtime = runtime_of(node("a"), node("c"))
    runtime.nodes["model.shop.a"] = failure("a typo", "a")
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold", fail_fast=True)
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    runtime.planned = planned(node("mended"), node("c"))
    await run.take_revision()
    await until(lambda: run.node_status().get("model.shop.mended") == "success")
    assert statuses(await task)["mended"] == "success"


async def test_an_ephemeral_model_that_compiles_after_all_fails_the_run_no_more() -> None:
    runtime = runtime_of(node("a"))
    broken = result("model.shop.a", "skipped").model_copy(update={"failed_ephemerals": ["model.shop.e"]})
    runtime.nodes["model.shop.a"] = broken
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold", fail_fast=True)
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    del runtime.nodes["model.shop.a"]
    run.open_nodes.operations.do("retry", ["a"])
    output = await task
    assert output.success
    assert statuses(output) == {"a": "success"}
