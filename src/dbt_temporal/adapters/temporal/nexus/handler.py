"""Carries out the Nexus operations of `DbtNexusService`, in a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nexusrpc.handler
from temporalio.nexus import WorkflowHandle, WorkflowRunOperationContext, workflow_run_operation

from dbt_temporal.adapters.temporal.gateway import WORKFLOW_TYPE
from dbt_temporal.adapters.temporal.nexus.service import SERVICE, DbtNexusService
from dbt_temporal.adapters.temporal.workflow_ids import workflow_id_of
from dbt_temporal.domain.details.headline import run_summary
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input


@nexusrpc.handler.service_handler(name=SERVICE)
class DbtNexusHandler:
    """Implements the service, for inputs as they come: a wrong one is for the run to refuse, which says what is wrong
    and shows no value of it.

    Args:
        only_project: tells the project of runs that name none, after which they are called; None where it may be any.
    """

    def __init__(self, only_project: Callable[[], str | None] = lambda: None) -> None:
        self._only_project = only_project

    @workflow_run_operation(name=DbtNexusService.dbt_run.name)
    async def dbt_run(self, ctx: WorkflowRunOperationContext, run_input: Any) -> WorkflowHandle[DbtRunOutput]:
        """Starts the run on the task queue that the operation came by."""
        return await ctx.start_workflow(
            WORKFLOW_TYPE,
            args=[] if run_input is None else [run_input],
            # The server sends a request again where it has not heard the answer; it names the same run then.
            id=workflow_id_of(_readable(run_input), ctx.request_id, self._only_project()),
            result_type=DbtRunOutput,
            static_summary=run_summary(run_input if isinstance(run_input, Mapping) else {}),
        )


def _readable(run_input: Any) -> DbtRunInput:
    try:
        return parse_run_input(run_input)
    except DbtTemporalError:
        return DbtRunInput()
