"""Project hooks of which nobody has heard how they ended."""

import pytest

from dbt_temporal.application.steps.messages import AfterRunInput, BeforeRunInput
from dbt_temporal.domain.errors import DbtTemporalError
from tests.unit.steps.test_use_cases import World, invocation, no_progress

HOOK = "operation.shop.shop-on-run-end-0"


@pytest.mark.parametrize(
    ("left", "repeatable", "made", "status"),
    [
        ("success", False, [], "success"),
        ("passing failure", False, [], "error"),
        ("passing failure", True, [2], "success"),
        ("lasting failure", True, [], "error"),
        (None, True, [2], "success"),
    ],
)
async def test_project_hooks_of_which_nobody_has_heard_are_as_they_ended(
    left: str | None, repeatable: bool, made: list[int], status: str
) -> None:
    world = World()
    hook = (
        world.engine.succeeds(HOOK)
        if left == "success"
        else world.engine.fails(HOOK, retryable=left == "passing failure")
    )
    if left is not None:
        world.engine.left_by_hooks = {("before_run", 1): [hook], ("after_run", 1): [hook]}
    world.engine.on_run_start = world.engine.on_run_end = [world.engine.succeeds(HOOK)]
    asked = {"invocation": invocation(), "attempt": 2, "unheard": [1], "repeatable": repeatable}
    before = await world.use_cases.before_run(BeforeRunInput.model_validate(asked), no_progress)
    after = await world.use_cases.after_run(AfterRunInput.model_validate(asked), no_progress)
    assert world.engine.hook_attempts == [(step, attempt) for step in ("before_run", "after_run") for attempt in made]
    assert [each.status for output in (before, after) for each in output.results] == [status, status]


async def test_project_hooks_of_which_nothing_is_known_have_failed() -> None:
    world = World()
    asked = BeforeRunInput(invocation=invocation(), attempt=1, unheard=[1])
    with pytest.raises(DbtTemporalError, match="on-run-start: nobody has heard how attempt 1 ended") as raised:
        await world.use_cases.before_run(asked, no_progress)
    assert not raised.value.retryable
    assert world.engine.hook_attempts == []
