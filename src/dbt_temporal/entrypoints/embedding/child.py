"""A run as a child of somebody's own workflow. Workflow code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.failures import to_application_error
from dbt_temporal.adapters.temporal.gateway import DEFAULT_TASK_QUEUE, WORKFLOW_TYPE
from dbt_temporal.domain.details.headline import run_summary
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input


async def execute_child_run(
    run_input: DbtRunInput | Mapping[str, Any] | None = None,
    *,
    id: str | None = None,
    task_queue: str = DEFAULT_TASK_QUEUE,
) -> DbtRunOutput:
    """Runs dbt as a child workflow and waits for its end. To be called in a workflow, whatever its data converter.

    The run is cancelled with the workflow, and the wait lasts until it has ended its statements. Where the workflow is
    terminated or runs out of time, the run is asked to stop, so that its artifacts are stored all the same.

    Args:
        run_input: what to run (docs/run-input.md).
        id: of the child; by default the id of this workflow, the command, and what no other child has.
        task_queue: that of dbt's workers.

    Raises:
        ChildWorkflowError: the run has failed or was ended; `output_of_failure` has what it came to.
        ApplicationError: of type Configuration: the input is wrong, and nothing was started.
    """
    parsed = checked_input(run_input)
    raw = parsed.model_dump(mode="json", exclude_unset=True)
    output = await workflow.execute_child_workflow(
        WORKFLOW_TYPE,
        raw,
        id=id or f"{workflow.info().workflow_id}/{parsed.command}-{workflow.uuid4().hex[:8]}",
        task_queue=task_queue,
        parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
        result_type=dict,
        static_summary=run_summary(raw),
    )
    return DbtRunOutput.model_validate(output)


def checked_input(run_input: DbtRunInput | Mapping[str, Any] | None) -> DbtRunInput:
    """The input of a run that a workflow asks for; a wrong one fails the workflow."""
    try:
        return parse_run_input(run_input)
    except DbtTemporalError as error:
        # Any other exception would have Temporal try the workflow task for ever.
        failure: ApplicationError = to_application_error(error)
        raise failure from None
