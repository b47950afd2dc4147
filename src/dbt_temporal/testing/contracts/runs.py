"""What every place for runs promises, as tests that each of them passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

from dbt_temporal.application.ports.runs import Ending, RunGateway
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.testing.contracts.errors import error_of

LetEnd = Callable[[], Awaitable[None]]
"""Lets the run that was submitted last come to a good end."""


class RunGatewayContract:
    """Tests of a `RunGateway` and its `SubmittedRun`s, for a subclass called `Test...` and fixtures `gateway` and
    `let_end`, which give the adapter and a `LetEnd`. Runs do not end before that.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_it_says_where_runs_go_and_that_somebody_answers(self, gateway: RunGateway) -> None:
        """`place` and `answers`."""
        assert gateway.place
        assert await gateway.answers()

    async def test_a_run_has_the_id_that_it_was_given_and_one_end(self, gateway: RunGateway, let_end: LetEnd) -> None:
        """`submit` and `outcome`, for whoever asks again too; what comes after the end changes nothing."""
        workflow_id = new_id()
        run = await gateway.submit(DbtRunInput(), workflow_id)
        assert run.workflow_id == workflow_id
        await let_end()
        outcome = await run.outcome()
        assert outcome.ending is Ending.COMPLETED
        await run.cancel()
        await run.terminate("too late")
        assert await run.outcome() == outcome

    async def test_an_id_that_a_run_has_is_refused_to_another(self, gateway: RunGateway, let_end: LetEnd) -> None:
        """`submit`, twice: a Configuration error that names the id. Once the first has ended, it is free again."""
        workflow_id = new_id()
        run = await gateway.submit(DbtRunInput(), workflow_id)
        error = await error_of(gateway.submit(DbtRunInput(), workflow_id))
        assert error.error_type is ErrorType.CONFIGURATION
        assert repr(workflow_id) in error.message
        await let_end()
        await run.outcome()
        assert (await gateway.submit(DbtRunInput(), workflow_id)).workflow_id == workflow_id

    async def test_a_run_has_one_invocation_id(self, gateway: RunGateway, let_end: LetEnd) -> None:
        """`invocation_id`, while it goes on and after its end; of one that nobody knows, a Configuration error."""
        workflow_id = new_id()
        run = await gateway.submit(DbtRunInput(), workflow_id)
        invocation_id = await gateway.invocation_id(workflow_id)
        assert invocation_id
        await let_end()
        await run.outcome()
        assert await gateway.invocation_id(workflow_id) == invocation_id
        error = await error_of(gateway.invocation_id("of-nobody"))
        assert error.error_type is ErrorType.CONFIGURATION
        assert "'of-nobody'" in error.message

    async def test_of_a_run_that_nobody_knows_nothing_is_stored(self, gateway: RunGateway) -> None:
        """`stored`: None, and no error, as it is asked for what is good to have."""
        assert await gateway.stored("of-nobody") is None

    async def test_a_run_that_is_terminated_has_ended_with_the_reason(self, gateway: RunGateway) -> None:
        """`terminate`."""
        run = await gateway.submit(DbtRunInput(), new_id())
        await run.terminate("enough of it")
        outcome = await run.outcome()
        assert (outcome.ending, outcome.output) == (Ending.TERMINATED, None)
        assert "enough of it" in (outcome.message or "")

    async def test_lines_of_the_log_are_told_once(self, gateway: RunGateway, let_end: LetEnd) -> None:
        """`snapshot`, one after the other; None where no worker answers."""
        run = await gateway.submit(DbtRunInput(), new_id())
        await let_end()
        await run.outcome()
        snapshots = [await run.snapshot(with_nodes=True, with_events=True) for _ in range(2)]
        assert snapshots[0] is not None
        assert snapshots[0].new_log_lines
        assert snapshots[1] is None or not snapshots[1].new_log_lines


def new_id() -> str:
    """A workflow id that no other run has."""
    return f"contract-{uuid4().hex}"
