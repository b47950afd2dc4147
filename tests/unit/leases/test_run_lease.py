"""How a run takes its lease, waits for it, and gives it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.ends.lease import ASK_AGAIN_SECS
from dbt_temporal.application.steps.messages import EndRunInput, PlanProjectOutput, TakeLeaseInput, TakeLeaseOutput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.leases.messages import Claimant, Lease, pack_keys
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.testing import FakeRuntime, node, planned
from tests.unit.run.runs import execute, start

HOLDER = Claimant(owner="1", workflow_id="nightly", since="2026-01-01T00:00:00+00:00", granted=True)
GRANTED = TakeLeaseOutput(granted=True)
TAKEN = TakeLeaseOutput(granted=False, behind=[HOLDER], count=1)
HOOK = {"workflow_type": "hook", "task_queue": "hooks"}


def lease(*names: str, scope: str = "relations") -> Lease:
    return Lease(scope=scope, keys=pack_keys(names), what="2 relations")


def plan_with(lease: Lease | None, *, hooks: Any = None, **concurrency: Any) -> PlanProjectOutput:
    config = ProjectConfig.model_validate(
        {"concurrency": {"per": "relation", **concurrency}, "hooks": hooks or {}, "retry": {"max_attempts": 1}}
    )
    return planned(node("a"), config=config, lease=lease, search_attributes={"DbtStatus": "running"})


def runtime_of(
    *plans: PlanProjectOutput, take: Sequence[TakeLeaseOutput | StepFailedError] = (GRANTED,)
) -> FakeRuntime:
    runtime = FakeRuntime(plans)
    runtime.take_lease = take
    return runtime


def asked(runtime: FakeRuntime) -> list[TakeLeaseInput]:
    return [step.argument for step in runtime.steps if isinstance(step.argument, TakeLeaseInput)]


def given_back(runtime: FakeRuntime) -> str | None:
    return next(step.argument.lease_scope for step in runtime.steps if isinstance(step.argument, EndRunInput))


def notices(runtime: FakeRuntime) -> list[str]:
    return [change.details for change in runtime.changes if change.details and "Waits since" in change.details]


async def test_a_run_without_a_lease_takes_none() -> None:
    runtime = runtime_of(plan_with(None))
    assert (await execute(runtime)).success
    assert "take_lease" not in runtime.step_names
    assert given_back(runtime) is None


async def test_a_run_takes_its_lease_before_its_hooks_and_gives_it_back_at_its_end() -> None:
    runtime = runtime_of(plan_with(lease("a"), hooks={"pre_run": [HOOK]}))
    assert (await execute(runtime)).success
    assert runtime.step_names[:3] == ["plan_project", "take_lease", "before_run"]
    assert (given_back(runtime), runtime.step_names[-1]) == ("relations", "end_run")


async def test_a_run_that_waits_says_for_whom_and_is_planned_again() -> None:
    runtime = runtime_of(plan_with(lease("a")), take=(TAKEN, TAKEN, GRANTED))
    run, task = start(runtime)
    assert (await task).success
    assert runtime.step_names[:5] == ["plan_project", "take_lease", "take_lease", "take_lease", "plan_project"]
    assert runtime.waited == [ASK_AGAIN_SECS, ASK_AGAIN_SECS]
    log = "\n".join(run.run_log())
    assert "The run waits to have 2 relations for itself: the run 'nightly' has it, which asked at 2026-01-01" in log
    assert "The run has 2 relations for itself after 603 s, and is planned again" in log
    assert "the run 'nightly' has it" in notices(runtime)[0]
    assert "Waits since" not in (runtime.changes[-1].details or "")


async def test_hooks_run_after_the_wait_alone() -> None:
    runtime = runtime_of(plan_with(lease("a"), hooks={"pre_run": [HOOK]}), take=(TAKEN, GRANTED))
    await execute(runtime)
    assert len(runtime.hooks_started) == 1
    assert runtime.step_names.index("before_run") > 3


async def test_a_run_that_writes_less_after_its_wait_goes_on_with_what_it_has() -> None:
    runtime = runtime_of(plan_with(lease("a", "b")), plan_with(lease("b")), take=(TAKEN, GRANTED))
    await execute(runtime)
    assert len(asked(runtime)) == 2


async def test_a_run_that_writes_more_after_its_wait_asks_for_that() -> None:
    runtime = runtime_of(plan_with(lease("a")), plan_with(lease("a", "b")), take=(TAKEN, GRANTED))
    await execute(runtime)
    assert [each.lease for each in asked(runtime)] == [lease("a"), lease("a"), lease("a", "b")]


async def test_a_run_that_a_hook_sends_elsewhere_has_the_lease_there_instead() -> None:
    first, second = plan_with(lease("a"), hooks={"pre_run": [HOOK]}), plan_with(lease("a", scope="elsewhere"))
    runtime = runtime_of(first, second)
    runtime.hooks["hook"] = {"extra_env": {"TARGET": "elsewhere"}}
    await execute(runtime)
    assert [each.instead_of for each in asked(runtime)] == [None, "relations"]
    assert given_back(runtime) == "elsewhere"


async def test_a_run_is_skipped_where_another_has_it() -> None:
    runtime = runtime_of(plan_with(lease("a"), if_taken="skip", hooks={"pre_run": [HOOK]}), take=(TAKEN,))
    output = await execute(runtime)
    assert (output.success, output.skipped, runtime.outcome) == (True, True, "skipped")
    assert "nightly" in (output.skip_reason or "")
    assert not asked(runtime)[0].waits
    assert runtime.hooks_started == []


async def test_a_run_fails_where_another_has_it_and_its_hooks_hear_of_that() -> None:
    failing = plan_with(lease("a"), if_taken="fail", hooks={"pre_run": [HOOK], "on_failure": [HOOK]})
    runtime = runtime_of(failing, take=(TAKEN,))
    with pytest.raises(DbtTemporalError, match="the run 'nightly' has it") as failed:
        await execute(runtime)
    assert (failed.value.error_type, runtime.outcome) == (ErrorType.CONFIGURATION, "failed")
    assert [each.argument["event"] for each in runtime.hooks_started] == ["on_failure"]
    assert "before_run" not in runtime.step_names


async def test_a_run_waits_as_long_as_the_project_says() -> None:
    runtime = runtime_of(plan_with(lease("a"), wait_secs=400), take=(TAKEN,))
    with pytest.raises(DbtTemporalError, match="has waited for 400 s"):
        await execute(runtime)
    assert runtime.waited[0] == ASK_AGAIN_SECS
    assert sum(runtime.waited) <= 400
    assert given_back(runtime) == "relations"
    assert "Waits since" not in (runtime.changes[-1].details or "")


async def test_who_cannot_ask_fails() -> None:
    away = StepFailedError(ErrorType.ADAPTER, "nobody answers", retryable=True)
    runtime = runtime_of(plan_with(lease("a")), take=(away,))
    with pytest.raises(DbtTemporalError, match="nobody answers"):
        await execute(runtime)
    assert len(asked(runtime)) == 3
    # What was asked may have arrived.
    assert given_back(runtime) == "relations"


async def test_who_waits_already_goes_on_waiting_where_nobody_answers() -> None:
    away = StepFailedError(ErrorType.ADAPTER, "nobody answers")
    runtime = runtime_of(plan_with(lease("a")), take=(TAKEN, away, GRANTED))
    run, task = start(runtime)
    assert (await task).success
    assert any("nobody answers" in line for line in run.run_log())
