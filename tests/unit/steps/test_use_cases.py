import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.application.ports.engine import EnginePlan, NodeErrorClass
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import (
    AfterRunInput,
    BeforeRunInput,
    EndRunInput,
    ExecuteNodeInput,
    PlanProjectInput,
    StoreArtifactsInput,
)
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.application.stored.late_writes import Patience
from dbt_temporal.application.stored.run_files import safe_name
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import (
    FakeEngine,
    FakeEngineRun,
    InMemoryArtifactStore,
    model_id,
    node,
    plan,
    ready_project,
    result,
)
from dbt_temporal.testing.builders import INVOCATION_ID, PROJECT, STARTED_AT

A = model_id("a")
RECORD = f"{INVOCATION_ID}/records/{A}.1.json"
LOG = f"{INVOCATION_ID}/logs/{A}.log"


AT_ONCE = Patience(step_secs=60, late_step_secs=0.001, deadline_secs=0, missing_secs=0.002)
"""What fails is given up."""


class World:
    def __init__(self, *, projects: Any = None, **settings: Any) -> None:
        self.engine = FakeEngine(plan(node("a"), node("b", "a")))
        self.store = InMemoryArtifactStore()
        self.registry = ProjectRegistry(projects if projects is not None else [ready_project()])
        settings = {"patience": AT_ONCE, **settings}
        self.use_cases = UseCases.build(self.engine, self.registry, self.store, **settings)

    async def plan(self, **run_input: Any) -> Any:
        return await self.use_cases.plan_project(
            PlanProjectInput(invocation_id=INVOCATION_ID, started_at=STARTED_AT, input=parse_run_input(run_input))
        )

    async def execute(
        self,
        *,
        non_retryable: list[str] | None = None,
        write_artifacts: bool = True,
        timeout_secs: float | None = None,
    ) -> Any:
        return await self.use_cases.execute_node(
            ExecuteNodeInput(
                invocation=invocation(),
                unique_id=A,
                timeout_secs=timeout_secs,
                non_retryable_errors=non_retryable or [],
                write_artifacts=write_artifacts,
            ),
            no_progress,
        )


def no_progress(_facts: Any) -> None:
    """Nobody listens."""


def invocation(revision: str | None = None) -> DbtInvocation:
    return DbtInvocation(
        invocation_id=INVOCATION_ID,
        project=PROJECT,
        revision=revision,
        started_at=STARTED_AT,
        input=parse_run_input({}),
    )


@pytest.mark.parametrize("failed", [False, True], ids=["succeeded", "failed"])
async def test_an_attempt_that_ended_unheard_is_not_made_again(failed: bool) -> None:
    world = World()
    error = NodeErrorClass(ErrorType.ADAPTER, retryable=False) if failed else None
    earlier = replace(world.engine.succeeds(A), error=error)
    world.engine.left[A, 2] = earlier
    request = ExecuteNodeInput(invocation=invocation(), unique_id=A, attempt=3, unheard=[1, 2], write_artifacts=True)
    if failed:
        with pytest.raises(DbtTemporalError):
            await world.use_cases.execute_node(request, no_progress)
    else:
        assert (await world.use_cases.execute_node(request, no_progress)).attempts == 3
    assert world.engine.executed == []
    assert any(path.endswith("records/model.shop.a.3.json") for path in world.store.files)


async def test_an_attempt_of_which_nothing_is_known_is_made_again() -> None:
    world = World()
    request = ExecuteNodeInput(invocation=invocation(), unique_id=A, attempt=2, unheard=[1])
    await world.use_cases.execute_node(request, no_progress)
    assert world.engine.attempts == [(A, 2)]


async def test_a_node_that_may_not_be_run_twice_fails_where_nothing_is_known_of_a_lost_attempt() -> None:
    world = World()
    request = ExecuteNodeInput(invocation=invocation(), unique_id=A, attempt=2, unheard=[1], again=False)
    with pytest.raises(DbtTemporalError, match="nobody has heard how attempt 1 ended") as raised:
        await world.use_cases.execute_node(request, no_progress)
    assert (raised.value.error_type, raised.value.retryable) == (ErrorType.ENGINE_CRASHED, False)
    assert world.engine.executed == []


@pytest.mark.parametrize("failed", [False, True], ids=["succeeded", "failed"])
async def test_an_attempt_under_its_own_number_takes_a_success_of_it_and_runs_after_a_failure(failed: bool) -> None:
    world = World()
    error = NodeErrorClass(ErrorType.ADAPTER, retryable=True) if failed else None
    world.engine.left[A, 1] = replace(world.engine.succeeds(A), error=error)
    request = ExecuteNodeInput(invocation=invocation(), unique_id=A, attempt=1, unheard=[1], again=False)
    await world.use_cases.execute_node(request, no_progress)
    assert world.engine.attempts == ([(A, 1)] if failed else [])


async def test_a_plan_carries_what_the_run_needs() -> None:
    config = parse_project_config({"retry": {"max_attempts": 9}}, "f")
    world = World(projects=[ready_project(config=config, revision="r1")], write_artifacts=True, write_run_log=False)
    output = await world.plan(select="a")
    assert output.plan.write_artifacts
    assert not output.write_run_log
    assert output.config.retry.max_attempts == 9
    assert output.invocation.revision == "r1"
    assert output.invocation.input.select == "a"
    assert (output.threads, output.target) == (4, "dev")


async def test_search_attributes_are_the_dynamic_ones_with_static_ones_over_them() -> None:
    world = World(static_search_attributes={"team": "data", "DbtTarget": "fixed"})
    assert (await world.plan(selector="nightly")).plan.search_attributes == {
        "DbtProject": PROJECT,
        "DbtCommand": "build",
        "DbtTarget": "fixed",
        "DbtSelector": "nightly",
        "DbtStatus": "running",
        "team": "data",
    }


async def test_search_attributes_that_the_namespace_does_not_have_are_left_out() -> None:
    world = World(static_search_attributes={"team": "data"}, registered_search_attributes={"DbtProject"})
    assert (await world.plan()).plan.search_attributes == {"DbtProject": PROJECT}


async def test_planning_ends_after_the_projects_own_limit() -> None:
    class SlowRun(FakeEngineRun):
        async def plan(self) -> EnginePlan:
            await asyncio.Event().wait()
            return await super().plan()

    config = parse_project_config({"timeouts": {"plan_secs": 0.01}}, "f")
    registry = ProjectRegistry([ready_project(config=config)])
    engine = FakeEngine()
    engine.run_class = SlowRun
    use_cases = UseCases.build(engine, registry, InMemoryArtifactStore())
    with pytest.raises(DbtTemporalError, match="plan_secs"):
        await use_cases.plan_project(
            PlanProjectInput(invocation_id=INVOCATION_ID, started_at=STARTED_AT, input=parse_run_input({}))
        )


async def test_a_run_has_as_many_hosts_as_its_project_says() -> None:
    world = World(projects=[ready_project(config=parse_project_config({"run_hosts": 3}, "f"))])
    assert (await world.plan()).invocation.run_hosts == 3
    assert (await World().plan()).invocation.run_hosts is None


async def test_a_nodes_record_and_log_are_kept_where_artifacts_are_on() -> None:
    world = World()
    assert (await world.execute()).status == "success"
    assert set(world.store.files) == {RECORD, LOG}


async def test_nothing_is_kept_where_artifacts_are_off() -> None:
    world = World()
    await world.execute(write_artifacts=False)
    assert world.store.files == {}


async def test_a_failed_node_raises_its_class_with_its_result_and_a_link_to_its_log() -> None:
    world = World()
    world.engine.script[A] = [world.engine.fails(A, "Database Error\n  lost")]
    with pytest.raises(DbtTemporalError) as caught:
        await world.execute()
    error = caught.value
    assert (error.error_type, error.retryable) == (ErrorType.ADAPTER, True)
    assert error.message == f"Database Error\n  lost\n\nLog of this node: memory://{LOG}"
    assert error.result is not None
    assert error.result.message == "Database Error\n  lost"


async def test_an_error_that_matches_a_pattern_anywhere_in_its_message_is_not_retried() -> None:
    world = World()
    world.engine.script[A] = [world.engine.fails(A, "Database Error\n  permission denied for x")]
    with pytest.raises(DbtTemporalError) as caught:
        await world.execute(non_retryable=["nothing", "permission .* for"])
    assert not caught.value.retryable


async def test_a_pattern_holds_for_errors_that_are_no_nodes_outcome_too() -> None:
    world = World()
    world.engine.script[A] = [world.engine.crash()]
    with pytest.raises(DbtTemporalError) as caught:
        await world.execute(non_retryable=["signal 9"])
    assert not caught.value.retryable


async def test_a_node_over_its_limit_is_cancelled_in_the_database_before_the_attempt_ends() -> None:
    world = World()
    world.engine.gates[A] = asyncio.Event()
    with pytest.raises(DbtTemporalError, match=r"took longer than its limit of 0\.01 seconds") as caught:
        await world.execute(timeout_secs=0.01)
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ADAPTER, True)
    assert world.engine.cancelled == [A]


async def test_a_failed_test_is_not_retried() -> None:
    world = World()
    world.engine.script[A] = [world.engine.fails(A, "Got 1 result", error_type=ErrorType.TEST_FAILURE, status="fail")]
    with pytest.raises(DbtTemporalError) as caught:
        await world.execute()
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.TEST_FAILURE, False)


async def test_a_record_that_cannot_be_stored_costs_a_warning_and_not_the_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.store.broken = [f"{INVOCATION_ID}/records"]
    with caplog.at_level(logging.WARNING):
        assert (await world.execute()).status == "success"
    assert "could not be stored" in caplog.text
    assert set(world.store.files) == {LOG}


async def test_a_failed_on_run_start_hook_is_a_result_that_says_whether_a_retry_may_help() -> None:
    world = World()
    hook = "operation.shop.shop-on-run-start-0"
    world.engine.on_run_start = [world.engine.fails(hook)]
    asked = BeforeRunInput(invocation=invocation(), write_artifacts=True)
    output = await world.use_cases.before_run(asked, no_progress)
    assert [each.status for each in output.results] == ["error"]
    assert output.retryable
    assert f"{INVOCATION_ID}/records/{hook}.1.json" in world.store.files


async def test_on_run_end_sees_results_with_their_records() -> None:
    world = World()
    await world.execute()
    asked = AfterRunInput(invocation=invocation(), results=[result("a")], write_artifacts=True)
    await world.use_cases.after_run(asked, no_progress)
    assert [(each.result.unique_id, bool(each.record)) for each in world.engine.seen_by_on_run_end] == [(A, True)]


async def test_the_end_of_a_run_frees_its_host() -> None:
    world = World()
    await world.use_cases.end_run(EndRunInput(invocation=invocation()))
    assert world.engine.ended_runs == [INVOCATION_ID]


def test_unique_ids_become_safe_file_names() -> None:
    assert safe_name("model.shop.a-b_1") == "model.shop.a-b_1"
    assert safe_name("test.shop.../../etc passwd") == "test.shop...%2F..%2Fetc%20passwd"
    long_names = {safe_name("test.shop." + "x" * 300 + end) for end in "ab"}
    assert len(long_names) == 2
    assert all(len(name) <= 180 for name in long_names)


@pytest.mark.parametrize("write_catalog", [True, False])
async def test_the_catalog_is_stored_where_the_settings_ask_for_it(write_catalog: bool) -> None:
    world = World(write_catalog=write_catalog)
    stored = await world.use_cases.store_artifacts(StoreArtifactsInput(invocation=invocation()))
    assert (stored.artifacts.catalog_path is not None) == write_catalog
    assert (f"{INVOCATION_ID}/catalog.json" in world.store.files) == write_catalog


@pytest.mark.parametrize(("write_artifacts", "stored"), [(True, ["manifest.json"]), (False, [])])
async def test_the_manifest_of_a_run_that_was_parsed_and_not_planned_is_stored(
    tmp_path: Path, write_artifacts: bool, stored: list[str]
) -> None:
    (tmp_path / "parsed.json").write_text("{}")

    class Unplanned(FakeEngineRun):
        async def plan(self) -> EnginePlan:
            raise DbtTemporalError(ErrorType.CONFIGURATION, "no such selector", manifest=tmp_path / "parsed.json")

    world = World(write_artifacts=write_artifacts)
    world.engine.run_class = Unplanned
    with pytest.raises(DbtTemporalError, match="no such selector"):
        await world.plan(selector="none")
    assert [name.removeprefix(f"{INVOCATION_ID}/") for name in world.store.files] == stored
