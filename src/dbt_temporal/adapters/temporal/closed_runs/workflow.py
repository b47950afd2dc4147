"""The workflow `dbt_tidy`: gives a run that was ended from outside its artifacts. Workflow code."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

from dbt_temporal.adapters.temporal.closed_runs.messages import (
    TIDY_ACTIVITY,
    TIDY_WORKFLOW_TYPE,
    TidiedRun,
    TidyInput,
    TidyOutput,
)
from dbt_temporal.application.steps.messages import EndRunOutput
from dbt_temporal.application.steps.table import END_RUN, END_RUN_SECS

TIDY_SECS = 3600.0
HEARTBEAT_SECS = 30.0
ATTEMPTS = 5


@workflow.defn(name=TIDY_WORKFLOW_TYPE, sandboxed=False)
class DbtTidyWorkflow:
    """One run that was terminated, or ran into a timeout of its workflow."""

    @workflow.run
    async def run(self, which: TidyInput) -> TidiedRun:
        """Stores its artifacts, then frees what it had kept for them; in this order, so that no attempt misses it."""
        try:
            tidied: TidyOutput = await workflow.execute_activity(
                TIDY_ACTIVITY,
                which,
                result_type=TidyOutput,
                start_to_close_timeout=timedelta(seconds=TIDY_SECS),
                heartbeat_timeout=timedelta(seconds=HEARTBEAT_SECS),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=5), maximum_attempts=ATTEMPTS),
                summary=f"artifacts of {which.workflow_id}"[:200],
            )
            workflow.upsert_search_attributes(
                [
                    SearchAttributeKey.for_keyword(name).value_set(value)
                    for name, value in tidied.search_attributes.items()
                ]
            )
            if tidied.end is not None:
                await workflow.execute_activity(
                    END_RUN.name,
                    tidied.end,
                    result_type=EndRunOutput,
                    start_to_close_timeout=timedelta(seconds=END_RUN_SECS),
                    retry_policy=RetryPolicy(maximum_attempts=ATTEMPTS),
                    summary="free what the run held",
                )
        except ActivityError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError):
                raise ApplicationError(cause.message, type=cause.type, non_retryable=True) from None
            raise
        return tidied.report
