"""An attempt whose worker was lost may still run in the database: the next attempt ends that first."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dbt_temporal.application.ports.runtime import Output, Step, StepFailedError
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.run.retries import Lost
from dbt_temporal.application.steps.messages import ExecuteNodeInput, ProjectHooksInput, StatementsInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.plan import NodeOverrides
from dbt_temporal.testing import FakeRuntime, node
from dbt_temporal.testing.builders import INVOCATION_ID, planned
from tests.unit.run.runs import execute, runtime_of


class LosingRuntime(FakeRuntime):
    """Loses the first attempt at each node, and at each step of project hooks."""

    async def run_step(self, step: Step[Output]) -> Output:
        """See `FakeRuntime`."""
        argument = step.argument
        if isinstance(argument, StatementsInput) and argument.attempt == 1:
            self.steps.append(step)
            raise StepFailedError(ErrorType.ENGINE_CRASHED, "lost", retryable=True, timed_out=True)
        return await super().run_step(step)


async def test_the_next_attempt_is_told_of_which_attempts_nobody_has_heard() -> None:
    runtime = LosingRuntime(runtime_of(node("a")).planned)
    assert (await execute(runtime)).success
    told = [step.argument.unheard for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert told == [[], [1]]


@pytest.mark.parametrize(
    ("failure", "unheard"),
    [
        (StepFailedError(ErrorType.ENGINE_CRASHED, "its process died", retryable=True), True),
        (StepFailedError(ErrorType.ADAPTER, "timed out", retryable=True, timed_out=True), True),
        (StepFailedError(ErrorType.ADAPTER, "not taken", retryable=True, timed_out=True, never_taken=True), False),
        (StepFailedError(ErrorType.ADAPTER, "deadlock", retryable=True), False),
    ],
)
def test_an_attempt_that_said_how_it_ended_was_heard(failure: StepFailedError, unheard: bool) -> None:
    assert Lost((1,)).and_by(failure, 2).attempts == ((1, 2) if unheard else (1,))


@pytest.mark.parametrize(
    ("config", "materialization", "own", "repeatable", "again"),
    [
        ("ask", "table", None, True, True),
        ("ask", "incremental", None, False, False),
        ("retry", "incremental", None, False, True),
        ("fail", "table", None, True, False),
        ({"incremental": "retry"}, "incremental", None, False, True),
        ({"incremental": "retry"}, "mine", None, False, False),
        ({"incremental": "retry", "default": "fail"}, "table", None, True, False),
        ("fail", "incremental", "retry", False, True),
        ("retry", "table", "ask", False, False),
    ],
)
def test_what_becomes_of_a_node_of_which_nothing_is_known(
    config: Any, materialization: str, own: Any, repeatable: bool, again: bool
) -> None:
    retry = parse_project_config({"retry": {"on_lost_attempt": config}}, "f").retry
    assert retry.runs_again(materialization, own, repeatable=repeatable) is again


async def test_the_next_attempt_is_told_whether_the_node_may_be_run_again() -> None:
    own = node("b", overrides=NodeOverrides(on_lost_attempt="retry"))
    unrepeatable = ["model.shop.a", "model.shop.b"]
    runtime = LosingRuntime(planned(node("a"), own).model_copy(update={"unrepeatable": unrepeatable}))
    await execute(runtime)
    steps = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert {(each.unique_id, each.again) for each in steps} == {("model.shop.a", False), ("model.shop.b", True)}


class LosingAll(FakeRuntime):
    """Loses every attempt; `ended` is what a look at how the last one ended finds."""

    ended: NodeExecutionResult | StepFailedError | None = None

    async def run_step(self, step: Step[Output]) -> Output:
        """See `FakeRuntime`."""
        argument = step.argument
        if not isinstance(argument, ExecuteNodeInput):
            return await super().run_step(step)
        self.steps.append(step)
        if argument.again or self.ended is None:
            raise StepFailedError(ErrorType.ENGINE_CRASHED, "lost", retryable=argument.again)
        if isinstance(self.ended, StepFailedError):
            raise self.ended
        return cast(Output, self.ended)


FOUND = NodeExecutionResult(unique_id="model.shop.a", status="success", dbt_status="success", attempts=3)


@pytest.mark.parametrize(
    ("ended", "error_type"),
    [
        (None, "EngineCrashed"),
        (FOUND, None),
        (StepFailedError(ErrorType.ADAPTER, "no such column"), "Adapter"),
    ],
    ids=["nothing is known", "it had succeeded", "it had failed"],
)
async def test_how_the_last_attempt_ended_is_looked_up(ended: Any, error_type: str | None) -> None:
    runtime = LosingAll(planned(node("a")).model_copy(update={"unrepeatable": []}))
    runtime.ended = ended
    output = await execute(runtime)
    assert output.success is (error_type is None)
    if error_type is not None:
        assert output.node_results[0].message == {"EngineCrashed": "lost", "Adapter": "no such column"}[error_type]
    inputs = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert [(each.attempt, each.again) for each in inputs] == [(1, True), (2, True), (3, True), (3, False)]
    assert inputs[-1].unheard == [1, 2, 3]
    assert "model:a (how attempt 3 ended)" in [step.summary for step in runtime.steps]


async def test_a_run_that_was_planned_before_such_looks_makes_none() -> None:
    runtime = LosingAll(planned(node("a")))
    assert not (await execute(runtime)).success
    assert len([step for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]) == 3


@pytest.mark.parametrize("looks", [True, False])
async def test_project_hooks_of_which_nobody_has_heard_are_looked_for_once(looks: bool) -> None:
    run_plan = planned(node("a"), has_on_run_start=True, has_on_run_end=True).model_copy(
        update={"looks_at_hooks": looks}
    )
    runtime = LosingHooks(run_plan)
    run = DbtRun(runtime, INVOCATION_ID)
    if looks:
        assert (await run.execute({})).success
    else:
        with pytest.raises(DbtTemporalError, match="lost"):
            await run.execute({})
    asked = [
        (step.name, step.argument.attempt, step.argument.unheard)
        for step in runtime.steps
        if isinstance(step.argument, ProjectHooksInput)
    ]
    looked = [("before_run", 1, []), ("before_run", 1, [1]), ("after_run", 1, []), ("after_run", 1, [1])]
    assert asked == (looked if looks else looked[:1])


class LosingHooks(FakeRuntime):
    """Loses every attempt at project hooks; a look at how they ended finds that they have."""

    async def run_step(self, step: Step[Output]) -> Output:
        """See `FakeRuntime`."""
        argument = step.argument
        if isinstance(argument, ProjectHooksInput) and not argument.unheard:
            self.steps.append(step)
            raise StepFailedError(ErrorType.ENGINE_CRASHED, "lost", retryable=True, timed_out=True)
        return await super().run_step(step)
