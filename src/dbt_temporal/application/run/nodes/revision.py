"""A run that is kept open goes on with the project as it is now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.nodes.steps import NodeSteps
from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.input import DbtRunInput


async def take_revision(
    context: RunContext, nodes: NodeSteps, plan: Callable[[DbtRunInput, datetime], Awaitable[PlanProjectOutput]]
) -> str | None:
    """Plans again, has the nodes go on by that, and returns the project's revision.

    Raises:
        DbtTemporalError: of type Configuration, as `check_at_rest`; or why the run cannot be planned on that project.
    """
    invocation = context.planned.invocation
    again = invocation.input.model_copy(update={"project": context.plan.project})
    planned = await plan(again, datetime.fromisoformat(invocation.started_at))
    check_at_rest(context, nodes)
    lease = context.planned.lease
    if planned.lease is not None and not (lease is not None and lease.includes(planned.lease)):
        raise configuration_error(
            "the project as it is now writes what this run does not have for itself: retry the run"
        )
    nodes.take_plan(planned)
    return planned.invocation.revision


def check_at_rest(context: RunContext, nodes: NodeSteps) -> None:
    """Looks whether a run may go on by another plan.

    Raises:
        DbtTemporalError: of type Configuration, saying why not.
    """
    if not nodes.at_rest:
        raise configuration_error("nodes run: a run takes another revision when it is kept open, and nothing runs")
    if not nodes.hold.waits:
        raise configuration_error("the run is not kept open: only then does it take another revision")
    if context.planned.invocation.database is not None or context.planned.invocation.keeps_state:
        raise configuration_error(
            "the run keeps to its process, which has the project as it was: retry the run instead"
        )
