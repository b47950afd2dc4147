"""How a run that did not succeed reaches a program."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.failures import read_run_output
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import DbtRunOutput


class DbtRunFailedError(Exception):
    """A run whose workflow did not complete.

    Attributes:
        workflow_id: its workflow's.
        ending: how it ended: failed, cancelled, terminated, timed out.
        error_type: the type of the failure: `DbtRunFailed` where nodes failed, another one (`Configuration`, ...) where
            the run could not begin; None where the workflow did not fail.
        message: what went wrong, for a person.
        output: what the run came to; None where it never got that far, and of a cancelled run where no worker answers.
    """

    def __init__(self, workflow_id: str, outcome: Outcome) -> None:
        self.workflow_id = workflow_id
        self.ending: Ending = outcome.ending
        self.error_type: str | None = outcome.error_type
        self.message: str = outcome.message or f"the run has {outcome.ending}"
        self.output: DbtRunOutput | None = outcome.output
        super().__init__(f"{workflow_id}: {self.message}")


def output_of_failure(error: BaseException) -> DbtRunOutput | None:
    """The output that a failure of Temporal's carries, or what caused it; None where it has none, as after a cancel.

    For whoever awaits a run by Temporal's own means: `WorkflowFailureError` of a client, `ChildWorkflowError` and
    `NexusOperationError` in a workflow.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            output = read_run_output(cause)
            if output is not None:
                return output
        cause = cause.__cause__
    return None
