"""What hook workflows of every language may rely on. Each language's tests inherit `HookContract`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.engine import NodeOutcome, Progress, ProjectLocation
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import FakeEngine, FakeEngineRun, node, plan
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for
from tests.integration.workflow.hook_workers import HookWorker

A, B = "model.shop.a", "model.shop.b"

INPUT_FIELDS = {
    "project",
    "command",
    "select",
    "exclude",
    "selector",
    "indirect_selection",
    "vars",
    "target",
    "full_refresh",
    "fail_fast",
    "hooks",
    "env",
    "defer_manifest_ref",
    "state_manifest_ref",
    "sources_ref",
    "retry_from",
    "event_time_start",
    "event_time_end",
    "scheduled_time",
    "data_interval",
    "on_failure",
    *("macro", "args", "sql", "inline", "limit", "output", "output_keys", "compile", "static", "empty_catalog"),
    "connection",
}
PLAN_FIELDS = {
    "project",
    "invocation_id",
    "levels",
    "nodes",
    "search_attributes",
    "write_artifacts",
    "has_on_run_start",
    "has_on_run_end",
}
NODE_FIELDS = {
    "unique_id",
    "name",
    "resource_type",
    "materialization",
    "package_name",
    "depends_on",
    "priority",
    "on_error",
}
OUTPUT_FIELDS = {
    "invocation_id",
    "success",
    "skipped",
    "skip_reason",
    "node_results",
    "rows",
    "elapsed_time",
    "artifacts",
    "log_path",
    "report_path",
    "hook_errors",
    *("project", "revision", "engine", "dbt_version"),
}
RESULT_FIELDS = {
    "unique_id",
    "status",
    "dbt_status",
    "execution_time",
    "message",
    "adapter_response",
    "compiled_code",
    "timing",
    "failures",
    "freshness",
    "output",
    "rows",
    "attempts",
    "batch_results",
}


class EnvRecordingEngine(FakeEngine):
    """Keeps the environment that each node was run with."""

    def __init__(self) -> None:
        super().__init__(plan(node("a"), node("b", "a")))
        self.env_of: dict[str, dict[str, str]] = {}

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> FakeEngineRun:
        env_of = self.env_of

        class Recording(FakeEngineRun):
            async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
                env_of[unique_id] = {key: str(value) for key, value in invocation.input.env.items()}
                return await super().execute_node(unique_id, progress, *rest, **named)

        return Recording(self, invocation)


async def children(client: Client, run: TemporalRun) -> list[WorkflowHandle[Any, Any]]:
    """The hook workflows that a run has started, in order."""
    started = [event.child_workflow_execution_started_event_attributes for event in await history(run.handle)]
    ids = [child.workflow_execution.workflow_id for child in started if child.workflow_execution.workflow_id]
    return [client.get_workflow_handle(each) for each in ids]


def output_of(outcome: Outcome) -> DbtRunOutput:
    """The output, whether it was returned or came with the failure."""
    assert outcome.output is not None, outcome
    return outcome.output


class HookContract:
    """The tests. A subclass's module has a fixture `hooks`: the running worker of its language."""

    credentials_activity = "find_credentials"
    """The activity that fails in the hook resolve_credentials, where it does not know the target."""

    async def test_a_pre_run_hook_can_read_every_field_of_the_payload(
        self, runs: RunHarness, hooks: HookWorker
    ) -> None:
        runs.engine.run_plan = plan(node("a"), node("b", "a", on_error="continue"), node("c"), has_on_run_end=True)
        asked = {"command": "run", "select": "+b c", "vars": {"day": [1, None]}, "env": {"TOKEN": "open sesame"}}
        output = output_of(await runs.run(asked | {"hooks": {"pre_run": [self.hook(hooks, "archive_payload")]}}))
        payload = hooks.archived(output.invocation_id, "pre_run")
        assert set(payload) == {"event", "invocation_id", "input", "plan", "output"}
        assert payload["event"] == "pre_run"
        assert payload["invocation_id"] == payload["plan"]["invocation_id"] == output.invocation_id
        assert payload["output"] is None
        assert set(payload["input"]) == INPUT_FIELDS
        assert payload["input"]["command"] == "run"
        assert payload["input"]["vars"] == {"day": [1, None]}
        assert payload["input"]["env"] == {"TOKEN": "***"}
        assert set(payload["plan"]) == PLAN_FIELDS
        assert payload["plan"]["project"] == "shop"
        assert payload["plan"]["has_on_run_end"] is True
        assert payload["plan"]["levels"] == [[A, "model.shop.c"], [B]]
        assert set(payload["plan"]["nodes"][B]) >= NODE_FIELDS
        assert payload["plan"]["nodes"][B]["depends_on"] == [A]
        assert payload["plan"]["nodes"][B]["on_error"] == "continue"

    async def test_an_on_success_hook_can_read_the_whole_output(self, runs: RunHarness, hooks: HookWorker) -> None:
        runs.engine.run_plan = plan(node("a"), node("b", "a"))
        runs.write_artifacts = True
        run_hooks = {"on_success": [self.hook(hooks, "archive_payload")]}
        output = output_of(await runs.run({"hooks": run_hooks, "env": {"TOKEN": "open sesame"}}))
        payload = hooks.archived(output.invocation_id, "on_success")
        assert payload["input"]["env"] == {"TOKEN": "***"}
        sent = payload["output"]
        assert set(sent) == OUTPUT_FIELDS
        assert (sent["success"], sent["skipped"], sent["hook_errors"]) == (True, False, [])
        assert [set(result) for result in sent["node_results"]] == [RESULT_FIELDS, RESULT_FIELDS]
        assert {result["unique_id"]: result["status"] for result in sent["node_results"]} == {
            A: "success",
            B: "success",
        }
        assert sent["artifacts"] == output.model_dump(mode="json")["artifacts"]
        assert sent["artifacts"]["run_results_path"].endswith("/run_results.json")

    async def test_an_on_failure_hook_can_tell_people_what_failed(self, runs: RunHarness, hooks: HookWorker) -> None:
        runs.engine.run_plan = plan(node("a"), node("b", "a"))
        runs.engine.script[A] = [FakeEngine.fails(A, "Compilation Error\n  no ref", error_type=ErrorType.COMPILATION)]
        before = len(hooks.messages)
        run = await runs.submit(
            {"select": "+b", "target": "prod", "hooks": {"on_failure": [self.hook(hooks, "notify")]}}
        )
        assert (await run.outcome()).error_type == "DbtRunFailed"
        (message,) = hooks.messages[before:]
        title, failed = message.split("\n")
        assert title.startswith("dbt build --select +b (prod) of shop failed: 1 error, 1 skipped in ")
        assert failed == f"- {A}: Compilation Error"
        (child,) = await children(runs.client, run)
        assert child.id == f"{run.workflow_id}/{run.handle.first_execution_run_id}/on_failure-1-notify"
        assert await child.result() == message

    async def test_a_pre_run_hook_can_skip_the_run_with_a_reason(self, runs: RunHarness, hooks: HookWorker) -> None:
        runs.engine.run_plan = plan(node("a"))
        hooks.newest_load_was(timedelta(hours=30))
        never = self.hook(hooks, "archive_payload")
        outcome = await runs.run({"hooks": {"pre_run": [self.hook(hooks, "check_freshness"), never]}})
        output = output_of(outcome)
        assert outcome.ending is Ending.COMPLETED
        assert (output.success, output.skipped, output.node_results) == (True, True, [])
        assert (output.skip_reason or "").startswith("nothing was loaded in the last 24 hours (last: ")
        assert runs.engine.executed == []
        assert not (hooks.folder / "archive" / f"{output.invocation_id}-pre_run.json").exists()

    @pytest.mark.parametrize(("age_hours", "full_refresh"), [(1, False), (30, True)])
    async def test_a_pre_run_hook_that_answers_nothing_lets_the_run_go_on(
        self, runs: RunHarness, hooks: HookWorker, age_hours: int, full_refresh: bool
    ) -> None:
        runs.engine.run_plan = plan(node("a"))
        hooks.newest_load_was(timedelta(hours=age_hours))
        asked = {"full_refresh": full_refresh, "hooks": {"pre_run": [self.hook(hooks, "check_freshness")]}}
        assert not output_of(await runs.run(asked)).skipped
        assert runs.engine.executed == [A]

    async def test_extra_env_of_a_hook_reaches_every_node(self, runs: RunHarness, hooks: HookWorker) -> None:
        runs.engine = engine = EnvRecordingEngine()
        hooks.credentials_are({"prod": {"DB_USER": "loader", "DB_SCHEMA": "marts"}})
        run_hooks = {"pre_run": [self.hook(hooks, "resolve_credentials"), self.hook(hooks, "archive_payload")]}
        outcome = await runs.run({"target": "prod", "env": {"DB_SCHEMA": "scratch", "DAY": "1"}, "hooks": run_hooks})
        expected = {"DB_USER": "loader", "DB_SCHEMA": "marts", "DAY": "1"}
        assert engine.env_of == {A: expected, B: expected}
        # The hook after it sees the names, not the values.
        payload = hooks.archived(output_of(outcome).invocation_id, "pre_run")
        assert payload["input"]["env"] == dict.fromkeys(expected, "***")

    async def test_a_hooks_own_input_replaces_the_payload(self, runs: RunHarness, hooks: HookWorker) -> None:
        runs.engine = engine = EnvRecordingEngine()
        hooks.credentials_are({"prod": {"DB_USER": "loader"}})
        resolve = self.hook(hooks, "resolve_credentials", input={"input": {"target": "prod"}})
        await runs.run({"target": "dev", "hooks": {"pre_run": [resolve]}})
        assert engine.env_of[A] == {"DB_USER": "loader"}

    @pytest.mark.parametrize("policy", ["fail", "warn", "ignore"])
    async def test_a_failing_pre_run_hook_obeys_its_policy(
        self, runs: RunHarness, hooks: HookWorker, policy: str
    ) -> None:
        runs.engine.run_plan = plan(node("a"))
        hooks.credentials_are({})
        outcome = await runs.run({"target": "nowhere", "hooks": {"pre_run": [self.failing(hooks, policy)]}})
        output = output_of(outcome)
        assert outcome.error_type == ("DbtRunFailed" if policy == "fail" else None)
        assert output.success is (policy != "fail")
        assert runs.engine.executed == ([] if policy == "fail" else [A])
        assert [(each.event, each.error) for each in output.hook_errors] == self.errors_under(policy, "pre_run")

    @pytest.mark.parametrize("policy", ["fail", "warn", "ignore"])
    async def test_a_failing_on_success_hook_obeys_its_policy(
        self, runs: RunHarness, hooks: HookWorker, policy: str
    ) -> None:
        runs.engine.run_plan = plan(node("a"))
        hooks.credentials_are({})
        last = self.hook(hooks, "archive_payload")
        asked = {"target": "nowhere", "hooks": {"on_success": [self.failing(hooks, policy), last]}}
        outcome = await runs.run(asked)
        output = output_of(outcome)
        assert outcome.error_type == ("DbtRunFailed" if policy == "fail" else None)
        assert output.success is (policy != "fail")
        assert [result.status for result in output.node_results] == ["success"]
        assert [(each.event, each.error) for each in output.hook_errors] == self.errors_under(policy, "on_success")
        # The hook after it is started all the same, and is told.
        told = hooks.archived(output.invocation_id, "on_success")["output"]["hook_errors"]
        assert [error["error"] for error in told] == [error for _, error in self.errors_under(policy, "on_success")]

    @pytest.mark.parametrize("policy", ["fail", "warn", "ignore"])
    async def test_a_failing_on_failure_hook_obeys_its_policy(
        self, runs: RunHarness, hooks: HookWorker, policy: str
    ) -> None:
        runs.engine.run_plan = plan(node("a"))
        runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
        hooks.credentials_are({})
        outcome = await runs.run({"target": "nowhere", "hooks": {"on_failure": [self.failing(hooks, policy)]}})
        assert outcome.error_type == "DbtRunFailed"
        errors = [(each.event, each.error) for each in output_of(outcome).hook_errors]
        assert errors == self.errors_under(policy, "on_failure")

    async def test_a_hook_that_takes_too_long_is_ended_and_told_with_its_limit(
        self, runs: RunHarness, hooks: HookWorker
    ) -> None:
        runs.engine.run_plan = plan(node("a"))
        approval = self.hook(hooks, "wait_for_approval", timeout_secs=1, on_error="fail")
        run = await runs.submit({"hooks": {"pre_run": [approval]}})
        output = output_of(await run.outcome())
        assert [each.error for each in output.hook_errors] == ["timed out after 1 seconds (timeout_secs)"]
        assert runs.engine.executed == []
        (child,) = await children(runs.client, run)
        assert (await child.describe()).status is WorkflowExecutionStatus.TIMED_OUT

    @pytest.mark.parametrize("fails", [False, True])
    async def test_a_fire_and_forget_hook_outlives_its_run(
        self, runs: RunHarness, hooks: HookWorker, fails: bool
    ) -> None:
        runs.engine.run_plan = plan(node("a"))
        if fails:
            runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
        waiting = self.hook(hooks, "wait_for_approval", fire_and_forget=True, timeout_secs=60)
        run = await runs.submit({"hooks": {"on_failure" if fails else "on_success": [waiting]}})
        outcome = await run.outcome()
        assert outcome.ending is (Ending.FAILED if fails else Ending.COMPLETED)
        (child,) = await children(runs.client, run)
        assert (await child.describe()).status is WorkflowExecutionStatus.RUNNING
        await child.signal("decide", {"approved": False, "by": "Ada"})
        assert await child.result() == {"skip": True, "reason": "declined by Ada"}

    async def test_a_fire_and_forget_hook_outlives_a_cancelled_run(self, runs: RunHarness, hooks: HookWorker) -> None:
        abandoned = self.hook(hooks, "wait_for_approval", fire_and_forget=True, timeout_secs=60)
        awaited = self.hook(hooks, "wait_for_approval", timeout_secs=60)
        run = await runs.submit({"hooks": {"pre_run": [abandoned, awaited]}})
        await self.begun(runs, run, 2)
        await run.cancel()
        assert (await run.outcome()).ending is Ending.CANCELLED
        left, taken_along = await children(runs.client, run)
        # Where the cancel meets the hook's very start, the run asks it to end without waiting for that.
        await self.ended_as(taken_along, WorkflowExecutionStatus.CANCELED)
        assert (await left.describe()).status is WorkflowExecutionStatus.RUNNING
        await left.signal("decide", {"approved": True, "by": "Ada"})
        assert await left.result() is None

    @staticmethod
    async def begun(runs: RunHarness, run: TemporalRun, count: int) -> None:
        """Waits until a run has started that many hooks."""

        async def enough() -> bool:
            return len(await children(runs.client, run)) == count

        await wait_for(enough, what=f"{count} hooks have begun")

    @staticmethod
    async def ended_as(hook: WorkflowHandle[Any, Any], status: WorkflowExecutionStatus) -> None:
        """Waits until a hook has that status."""

        async def ended() -> bool:
            return (await hook.describe()).status is status

        await wait_for(ended, what=f"the hook is {status.name}")

    @staticmethod
    def hook(hooks: HookWorker, workflow_type: str, **fields: Any) -> dict[str, Any]:
        """A hook on the worker's queue."""
        return {"workflow_type": workflow_type, "task_queue": hooks.task_queue} | fields

    def failing(self, hooks: HookWorker, policy: str) -> dict[str, Any]:
        """A hook that fails for the target `nowhere`."""
        return self.hook(hooks, "resolve_credentials", on_error=policy)

    def errors_under(self, policy: str, event: str) -> list[tuple[str, str]]:
        """What `hook_errors` holds after a hook failed."""
        error = f"{self.credentials_activity}: UnknownTarget: no credentials for target nowhere"
        return [] if policy == "ignore" else [(event, error)]
