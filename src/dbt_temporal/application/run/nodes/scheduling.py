"""The scheduler of a run: at its beginning, and where another execution goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_temporal.application.run.context import RunContext
from dbt_temporal.domain.run.plan import ExecutionPlan
from dbt_temporal.domain.run.scheduler import Scheduler


def scheduler_of(context: RunContext, carried: Mapping[str, Any] | None) -> Scheduler:
    """Makes it; `carried` is the snapshot of the one before, where there is one."""
    plan, ephemerals = context.plan, context.planned.ephemerals
    if carried is not None:
        return Scheduler.restore(plan.nodes, carried, ephemerals)
    return Scheduler(
        plan.nodes,
        ephemerals=ephemerals,
        command=None if context.planned.runs_ahead else context.run_input.command,
        max_running=context.planned.threads,
        fail_fast=context.live.state.fail_fast,
        ends_on_error=bool(context.planned.ends_on_error),
        at_once=context.planned.ends_on_error is None or context.planned.runs_ahead,
        first_come=context.planned.first_come,
    )


def has_more(scheduler: Scheduler, plan: ExecutionPlan) -> bool:
    """Whether there is more to come than the ends of what runs; a microbatch model that runs has further batches."""
    is_batched = (plan.nodes[unique_id].batched for unique_id in scheduler.running)
    return scheduler.stopped is None and (scheduler.has_more or any(is_batched))
