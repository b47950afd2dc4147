"""A run in another namespace, by Nexus, as a step of somebody's own workflow. Workflow code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from temporalio import workflow

from dbt_temporal.adapters.temporal.nexus.service import DbtNexusService
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.embedding.child import checked_input


async def execute_nexus_run(
    run_input: DbtRunInput | Mapping[str, Any] | None = None,
    *,
    endpoint: str,
    schedule_to_close_timeout: timedelta | None = None,
) -> DbtRunOutput:
    """Runs dbt by the Nexus operation `dbt-run` and waits for its end. To be called in a workflow, whatever its data
    converter.

    Where the workflow is cancelled, so is the run, and the wait lasts until it has ended its statements.

    Args:
        run_input: what to run (docs/run-input.md).
        endpoint: the Nexus endpoint that leads to the namespace and the task queue of dbt's workers.
        schedule_to_close_timeout: how long it may take in all; then this workflow goes on without the run, which is not
            cancelled by that. By default as long as it takes.

    Raises:
        NexusOperationError: the run has failed or was ended; `output_of_failure` has what it came to.
        ApplicationError: of type Configuration: the input is wrong, and nothing was started.
    """
    dbt = workflow.create_nexus_client(service=DbtNexusService, endpoint=endpoint)
    output = await dbt.execute_operation(
        DbtNexusService.dbt_run.name,
        checked_input(run_input).model_dump(mode="json", exclude_unset=True),
        # Read here: the SDK's own data converter does not know our models.
        output_type=dict,
        schedule_to_close_timeout=schedule_to_close_timeout,
    )
    return DbtRunOutput.model_validate(output)
