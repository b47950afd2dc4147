"""The steps of a run, each declared once: its name, input, output and limits. Deterministic code reads this, too.

Whatever treats all steps alike enumerates them here: activities, runs in process, fakes, compression of messages. The
use case of a step has its name (`application.steps.use_cases`).
"""

from __future__ import annotations

from typing import Any

from dbt_temporal.application.ports.runtime import StepKind, StepLimits
from dbt_temporal.application.steps.messages import (
    AfterRunInput,
    BeforeRunInput,
    EndRunInput,
    EndRunOutput,
    ExecuteNodeInput,
    PlanProjectInput,
    PlanProjectOutput,
    ProjectHooksOutput,
    ResumeRunInput,
    StoreArtifactsInput,
    StoreArtifactsOutput,
    TakeLeaseInput,
    TakeLeaseOutput,
)
from dbt_temporal.domain.limits import MAX_PLAN_SECS
from dbt_temporal.domain.project_config import TimeoutsConfig
from dbt_temporal.domain.results import NodeExecutionResult

CANCEL_SECS = 120.0
"""What an attempt has beyond its limit, to end its statements in the database."""
WAITING_SECS = 7 * 24 * 3600.0
"""What a step may wait for the begin of what it is to do."""
HEARTBEAT_SECS = 60.0
"""Of steps for which dbt_temporal.yml names no heartbeat."""
END_RUN_SECS = 30.0
TAKE_LEASE_SECS = 60.0


def statement_limits(timeout_secs: float, heartbeat_secs: float, *, from_begin: bool = False) -> StepLimits:
    """Of a step that runs statements: it keeps the limit itself, and has time left to end them.

    Where its limit counts from its begin, that may be long in coming: what is lost is known by its heartbeat.
    """
    whole = timeout_secs + CANCEL_SECS + (WAITING_SECS if from_begin else 0.0)
    return StepLimits(whole, min(heartbeat_secs, whole))


def _plan_limits(_timeouts: TimeoutsConfig) -> StepLimits:
    # The use case ends planning after the project's own `plan_secs`, which the run cannot know before it has the plan.
    return StepLimits(MAX_PLAN_SECS + 60.0, HEARTBEAT_SECS)


def _hook_limits(timeouts: TimeoutsConfig) -> StepLimits:
    return statement_limits(timeouts.hook_secs, timeouts.hook_heartbeat_secs)


def _node_limits(timeouts: TimeoutsConfig) -> StepLimits:
    return statement_limits(timeouts.node_secs, timeouts.node_heartbeat_secs)


def _store_limits(timeouts: TimeoutsConfig) -> StepLimits:
    return StepLimits(timeouts.store_artifacts_secs, min(HEARTBEAT_SECS, timeouts.store_artifacts_secs))


PLAN_PROJECT = StepKind("plan_project", PlanProjectInput, PlanProjectOutput, _plan_limits)
TAKE_LEASE = StepKind("take_lease", TakeLeaseInput, TakeLeaseOutput, lambda _timeouts: StepLimits(TAKE_LEASE_SECS))
BEFORE_RUN = StepKind("before_run", BeforeRunInput, ProjectHooksOutput, _hook_limits)
RESUME_RUN = StepKind("resume_run", ResumeRunInput, ProjectHooksOutput, _hook_limits)
EXECUTE_NODE = StepKind("execute_node", ExecuteNodeInput, NodeExecutionResult, _node_limits)
AFTER_RUN = StepKind("after_run", AfterRunInput, ProjectHooksOutput, _hook_limits)
STORE_ARTIFACTS = StepKind("store_artifacts", StoreArtifactsInput, StoreArtifactsOutput, _store_limits)
END_RUN = StepKind("end_run", EndRunInput, EndRunOutput, lambda _timeouts: StepLimits(END_RUN_SECS))

STEPS: tuple[StepKind[Any, Any], ...] = (
    PLAN_PROJECT,
    TAKE_LEASE,
    BEFORE_RUN,
    RESUME_RUN,
    EXECUTE_NODE,
    AFTER_RUN,
    STORE_ARTIFACTS,
    END_RUN,
)
_BY_NAME = {kind.name: kind for kind in STEPS if kind is not EXECUTE_NODE}


def step_kind(activity_type: str) -> StepKind[Any, Any] | None:
    """The step that an activity is; None where it is none of ours."""
    return EXECUTE_NODE if ":" in activity_type else _BY_NAME.get(activity_type)
