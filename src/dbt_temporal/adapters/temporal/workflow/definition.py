"""The workflow `dbt_run`: the run of the application layer, carried by Temporal."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, TemporalError

from dbt_temporal.adapters.temporal.executions.arguments import read_arguments
from dbt_temporal.adapters.temporal.failures import run_failed, to_application_error
from dbt_temporal.adapters.temporal.leases.messages import GRANTED_SIGNAL
from dbt_temporal.adapters.temporal.payloads.plan_pieces import PIECE_SIGNAL
from dbt_temporal.adapters.temporal.workflow.runtime import TemporalRuntime
from dbt_temporal.adapters.temporal.workflow.updates import RunUpdates
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.results import DbtRunOutput

BUG_TYPE = "Internal"
"""The failure type of a fault in our own workflow code."""


@workflow.defn(name="dbt_run", sandboxed=False)
class DbtRunWorkflow(RunUpdates):
    """One dbt invocation. See the run contract for its input, output and live state.

    Without the SDK's sandbox, which is passed through several times for every payload: it doubles the time in which a
    worker replays a large run. What it watches over, tests do: they read this code, and replay histories.
    """

    def __init__(self) -> None:
        self._runtime = TemporalRuntime()
        info = workflow.info()
        self._run = DbtRun(self._runtime, info.first_execution_run_id, goes_on=bool(info.continued_run_id))

    @workflow.run
    async def run(self, *arguments: Any) -> DbtRunOutput:
        """Runs to the end.

        Arguments have neither types nor a number here, so that wrong ones fail the workflow with a message; else they
        would fail the workflow task, which Temporal repeats for ever.
        """
        try:
            output = await self._execute(arguments)
        except (Exception, asyncio.CancelledError):
            # Not `finally`, which would run for workflows that are only thrown out of the cache, too.
            self._runtime.flush()
            raise
        self._runtime.flush()
        return output

    async def _execute(self, arguments: tuple[object, ...]) -> DbtRunOutput:
        """The run, with its failures as Temporal has them."""
        try:
            self._runtime.argument, carried = read_arguments(arguments, goes_on=bool(workflow.info().continued_run_id))
            output = await self._run.execute(self._runtime.argument, carried)
            if not output.success:
                raise run_failed(output, self._run.failure_message())
            return output
        except DbtTemporalError as error:
            raise to_application_error(error) from None
        except TemporalError:
            # Ours from above, or nondeterminism: that one stays a failed workflow task, which a fixed worker mends.
            raise
        except Exception as error:
            # A run that hangs in workflow tasks that fail and fail is worse than one that says what is wrong.
            message = f"fault in dbt-temporal: {type(error).__name__}: {error}"
            raise ApplicationError(message, type=BUG_TYPE, non_retryable=True) from error

    @workflow.query
    def run_status(self) -> dict[str, Any]:
        return self._run.run_status()

    @workflow.query
    def node_status(self) -> dict[str, str]:
        return self._run.node_status()

    @workflow.query
    def run_log(self, since: int = 0) -> list[str]:
        """Every line of the run log so far; whoever follows a run asks for those after the `since` that they have.

        Of a log of more than 1.5 MB, an answer has the first lines of these.
        """
        return self._run.run_log(since)

    @workflow.query
    def numbered_nodes(self, since: int = 0) -> list[str]:
        """unique_ids of the nodes that have numbers in the run log (`3 of 9`), in the order of these."""
        return self._run.log.numbered(since)

    @workflow.query
    def said_events(self, since: int, until: int) -> list[dict[str, Any]]:
        """What dbt and the project have said in these lines of the run log: their event, its level, its node.

        Of much, an answer has the first.
        """
        return self._run.log.said_part(since, until, self._runtime.budget.log_bytes)

    @workflow.query
    def cancelled_output(self) -> DbtRunOutput | None:
        """What a run that was cancelled came to: the SDK gives a cancel no details, as it does a failure."""
        return self._run.cancelled_output()

    @workflow.signal(name=GRANTED_SIGNAL)
    def lease_granted(self) -> None:
        """Wakes a run that waits for its lease. It asks how it stands."""
        self._runtime.take_word()

    @workflow.signal(name=PIECE_SIGNAL)
    def plan_piece(self, digest: str, number: int, data: bytes) -> None:
        """Takes a part of a plan that is too large for the answer of the step."""
        self._runtime.take_piece(digest, number, data)
