"""Project hooks are kept within their limit, as nodes are."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dbt_temporal.application.steps.engine_runs import within_limit
from dbt_temporal.application.steps.messages import AfterRunInput, BeforeRunInput, ExecuteNodeInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.unit.steps.test_use_cases import World, invocation, no_progress


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("step", ["before_run", "after_run"])
async def test_project_hooks_that_take_too_long_are_cancelled_and_tried_again_only_where_they_may_be(
    step: str, repeatable: bool
) -> None:
    world = World()
    world.engine.gates[step] = asyncio.Event()
    with pytest.raises(DbtTemporalError, match=r"longer than its limit of .* and was cancelled") as caught:
        await run_project_hooks(world, step, timeout_secs=0.01, repeatable=repeatable)
    assert world.engine.cancelled == [step]
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ADAPTER, repeatable)


async def test_where_the_limit_counts_from_the_begin_what_is_waited_for_before_does_not_count() -> None:
    request = ExecuteNodeInput(invocation=invocation(), unique_id="model.shop.a", timeout_secs=0.0, from_begin=True)
    waited: list[str] = []

    async def work(begins: Callable[[bool], None]) -> None:
        for _ in range(5):  # whose time was up would be cancelled by now
            await asyncio.sleep(0)
        waited.append("for its begin")
        begins(True)
        await asyncio.Event().wait()

    with pytest.raises(DbtTemporalError, match="longer than its limit"):
        await within_limit(request, "a", work)
    assert waited == ["for its begin"]


async def test_a_node_that_has_to_begin_again_has_all_of_its_time_from_then_on() -> None:
    request = ExecuteNodeInput(invocation=invocation(), unique_id="model.shop.a", timeout_secs=0.0, from_begin=True)
    waited: list[str] = []

    async def work(begins: Callable[[bool], None]) -> None:
        begins(True)
        begins(False)
        for _ in range(5):  # whose time was up would be cancelled by now
            await asyncio.sleep(0)
        waited.append("for its begin once more")
        begins(True)
        await asyncio.Event().wait()

    with pytest.raises(DbtTemporalError, match="longer than its limit"):
        await within_limit(request, "a", work)
    assert waited == ["for its begin once more"]


async def run_project_hooks(world: World, step: str, **asked: Any) -> None:
    if step == "before_run":
        await world.use_cases.before_run(BeforeRunInput(invocation=invocation(), **asked), no_progress)
    else:
        await world.use_cases.after_run(AfterRunInput(invocation=invocation(), **asked), no_progress)
