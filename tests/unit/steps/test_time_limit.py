"""Project hooks are kept within their limit, as nodes are."""

import asyncio
from typing import Any

import pytest

from dbt_temporal.application.steps.messages import AfterRunInput, BeforeRunInput
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


async def run_project_hooks(world: World, step: str, **asked: Any) -> None:
    if step == "before_run":
        await world.use_cases.before_run(BeforeRunInput(invocation=invocation(), **asked), no_progress)
    else:
        await world.use_cases.after_run(AfterRunInput(invocation=invocation(), **asked), no_progress)
