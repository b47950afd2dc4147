"""What everything that carries runs promises, as tests that each of it passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from dbt_temporal.application.ports.runtime import (
    HookFailedError,
    RunRuntime,
    Step,
    StepFailedError,
    StepLimits,
)
from dbt_temporal.application.steps.messages import EndRunInput, EndRunOutput, ExecuteNodeInput
from dbt_temporal.application.steps.table import END_RUN, EXECUTE_NODE
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.run.plan import HistoryLimits

Body = Callable[[RunRuntime], Awaitable[None]]
"""What a run might do."""
Carry = Callable[[Body], Awaitable[None]]
"""Has a new runtime carry it, and raises an AssertionError where it does."""

GOOD, BAD, HELD = "model.shop.good", "model.shop.bad", "model.shop.held"
MESSAGE = "Database Error: connection lost"
ANSWERS, FAILS = "contract_answers", "contract_fails"
ANSWER: Mapping[str, Any] = {"skip": True, "reason": "not today"}


class RunRuntimeContract:
    """Tests of a `RunRuntime`, as far as all of them are alike, for a subclass called `Test...` and fixtures `carry`
    and `hook_queue`: a `Carry`, and the task queue of its hooks, where these have any.

    In its world the node GOOD succeeds, BAD fails with MESSAGE, for which another attempt may help, and HELD does not
    end by itself. The hook ANSWERS returns ANSWER, and FAILS fails. All are for runs of the project `shop`.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_a_step_returns_its_own_kind_of_output(self, carry: Carry) -> None:
        """`run_step`, of a node and of another step."""

        async def body(runtime: RunRuntime) -> None:
            assert (await runtime.run_step(node_step(GOOD))).unique_id == GOOD
            ended = Step(END_RUN, EndRunInput(invocation=INVOCATION), StepLimits(30.0))
            assert isinstance(await runtime.run_step(ended), EndRunOutput)

        await carry(body)

    async def test_steps_run_side_by_side(self, carry: Carry) -> None:
        """`run_step`, of one that ends while another is held."""

        async def body(runtime: RunRuntime) -> None:
            held = asyncio.ensure_future(runtime.run_step(node_step(HELD)))
            assert (await runtime.run_step(node_step(GOOD))).status == "success"
            assert not held.done()
            held.cancel()
            with suppress(asyncio.CancelledError):
                await held

        await carry(body)

    async def test_a_step_that_fails_says_how_and_whether_another_attempt_may_help(self, carry: Carry) -> None:
        """`run_step`, of a node that comes to a result."""

        async def body(runtime: RunRuntime) -> None:
            (failure,) = await asyncio.gather(runtime.run_step(node_step(BAD)), return_exceptions=True)
            assert isinstance(failure, StepFailedError), repr(failure)
            assert (failure.error_type, failure.retryable) == (ErrorType.ADAPTER, True)
            assert failure.message == MESSAGE
            assert failure.result is not None
            assert (failure.result.unique_id, failure.result.status) == (BAD, "error")
            assert not any([failure.timed_out, failure.never_taken, failure.reset, failure.unheard])

        await carry(body)

    async def test_a_step_is_cancelled_with_the_task_that_awaits_it(self, carry: Carry) -> None:
        """`run_step`; the run goes on."""

        async def body(runtime: RunRuntime) -> None:
            held = asyncio.ensure_future(runtime.run_step(node_step(HELD)))
            await asyncio.sleep(0)
            held.cancel()
            await asyncio.wait([held])
            assert held.cancelled()
            assert (await runtime.run_step(node_step(GOOD))).status == "success"

        await carry(body)

    async def test_a_hook_gives_its_answer(self, carry: Carry, hook_queue: str) -> None:
        """`run_hook`; of one that nobody waits for, there is none."""

        async def body(runtime: RunRuntime) -> None:
            hook = HookConfig(workflow_type=ANSWERS, task_queue=hook_queue)
            assert await runtime.run_hook(hook, {"event": "pre_run"}, "pre_run-1") == ANSWER
            abandoned = hook.model_copy(update={"fire_and_forget": True})
            assert await runtime.run_hook(abandoned, {"event": "pre_run"}, "pre_run-2") is None

        await carry(body)

    async def test_a_hook_that_fails_is_told_in_words(self, carry: Carry, hook_queue: str) -> None:
        """`run_hook`: a HookFailedError."""

        async def body(runtime: RunRuntime) -> None:
            hook = HookConfig(workflow_type=FAILS, task_queue=hook_queue)
            failure: object = None
            try:
                await runtime.run_hook(hook, {"event": "pre_run"}, "pre_run-1")
            except HookFailedError as error:
                failure = error
            assert failure is not None
            assert str(failure)

        await carry(body)

    async def test_time_passes_while_a_run_waits(self, carry: Carry) -> None:
        """`now`, `sleep`, `wait_for_word` and `breathe`."""

        async def body(runtime: RunRuntime) -> None:
            began = runtime.now()
            assert began.tzinfo is not None
            await runtime.breathe()
            await runtime.sleep(0.05)
            slept = runtime.now()
            assert slept > began
            await runtime.wait_for_word(0.05)
            assert runtime.now() > slept

        await carry(body)

    async def test_a_run_that_has_just_begun_has_room_and_one_execution(self, carry: Carry) -> None:
        """With `has_room`, `hands_on`, `is_longer_than`, `was_reset` and `scheduled`, which nobody has done."""

        async def body(runtime: RunRuntime) -> None:
            assert runtime.has_room()
            assert not runtime.is_longer_than(HistoryLimits(events=10_000, size_bytes=10_000_000))
            assert runtime.hands_on() in (True, False)
            assert runtime.execution == runtime.execution
            assert not runtime.was_reset
            assert runtime.scheduled is None
            await runtime.answered_all()

        await carry(body)


INVOCATION = DbtInvocation(
    invocation_id="6e2f0d3c-0000-4000-8000-000000000001",
    project="shop",
    started_at="2026-01-01T00:00:00+00:00",
    input=DbtRunInput(),
)


def node_step(unique_id: str) -> Step[NodeExecutionResult]:
    """An attempt at a node."""
    argument = ExecuteNodeInput(invocation=INVOCATION, unique_id=unique_id)
    name = unique_id.rpartition(".")[2]
    return Step(EXECUTE_NODE, argument, StepLimits(60.0, 30.0), label=f"model:{name}")
