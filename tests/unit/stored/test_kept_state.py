"""What a run leaves in its processes is kept in the artifact store, for those that go on with it."""

from dataclasses import replace

import pytest

from dbt_temporal.application.ports.engine import Prepared, StatePart
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import (
    AfterRunInput,
    BeforeRunInput,
    EndRunInput,
    ExecuteNodeInput,
    Keeper,
    ResumeRunInput,
)
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.application.stored.kept_state import MAX_GAP
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, model_id, node, plan, ready_project
from dbt_temporal.testing.builders import INVOCATION_ID, PROJECT, STARTED_AT

A = model_id("a")
FIRST = StatePart(1, b"of on-run-start")
OF_A = StatePart(2, b"of a")
BEGUN = DbtInvocation(invocation_id=INVOCATION_ID, project=PROJECT, started_at=STARTED_AT, input=DbtRunInput())
KEPT = BEGUN.model_copy(update={"keeps_state": True, "state_begun": True})
OWN = "tasks/one"


class Worker:
    def __init__(self, store: InMemoryArtifactStore | None = None) -> None:
        self.engine = FakeEngine(plan(node("a")))
        self.store = store or InMemoryArtifactStore()
        self.engine.prepared = Prepared(state=FIRST, keeps_state="it changes 'kept'", worker="one")
        self.engine.script[A] = [replace(FakeEngine.succeeds(A), state=OF_A)]
        self.use_cases = UseCases.build(self.engine, ProjectRegistry([ready_project()]), self.store, own_queue=OWN)

    async def begin(self) -> None:
        output = await self.use_cases.before_run(BeforeRunInput(invocation=BEGUN))
        assert (output.keeps_state, output.state_begun) == ("it changes 'kept'", True)
        assert output.worker == Keeper(task_queue=OWN, name="one", takes_handed_on=True)

    async def execute(self, invocation: DbtInvocation = KEPT) -> None:
        await self.use_cases.execute_node(ExecuteNodeInput(invocation=invocation, unique_id=A))

    async def parts(self) -> list[StatePart]:
        """What a further step of the run could read here."""
        await self.use_cases.after_run(AfterRunInput(invocation=KEPT))
        return sorted(await self.engine.states[-1][0](), key=lambda part: part.number)


async def test_what_hooks_and_nodes_leave_is_there_for_processes_on_other_workers() -> None:
    one = Worker()
    await one.begin()
    await one.execute()
    assert await Worker(one.store).parts() == [FIRST, OF_A]


async def test_a_worker_that_takes_over_reads_it_and_is_told_who_does_it_again() -> None:
    one = Worker()
    await one.begin()
    two = Worker(one.store)
    output = await two.use_cases.resume_run(ResumeRunInput(invocation=KEPT, without=[A]))
    ((read, without),) = two.engine.states
    assert (await read(), without) == ([FIRST], [A])
    assert output.worker == Keeper(task_queue=OWN, name="another", takes_handed_on=True)


async def test_parts_of_nodes_that_were_lost_may_be_missing() -> None:
    one = Worker()
    await one.begin()
    late = StatePart(MAX_GAP + 1, b"late")
    one.engine.script[A] = [replace(FakeEngine.succeeds(A), state=late)]
    await one.execute()
    assert await Worker(one.store).parts() == [FIRST, late]


async def test_a_store_that_fails_costs_no_node_and_other_processes_of_the_worker_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = Worker()
    one.store.broken = [f"{INVOCATION_ID}/state"]
    await one.begin()
    await one.execute()
    one.store.broken = []
    assert await one.parts() == [FIRST, OF_A]
    assert f"no other worker can go on with run {INVOCATION_ID}, which keeps state" in caplog.text


async def test_a_worker_with_another_store_does_not_go_on_without_what_on_run_start_has_left() -> None:
    with pytest.raises(DbtTemporalError, match="need the same ARTIFACT_STORE") as caught:
        await Worker().parts()
    assert caught.value.error_type == ErrorType.CONFIGURATION


async def test_the_end_of_the_run_deletes_it() -> None:
    one = Worker()
    await one.begin()
    assert one.store.files
    await one.use_cases.end_run(EndRunInput(invocation=KEPT))
    assert not one.store.files


async def test_what_a_node_of_another_run_leaves_is_told_and_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    one = Worker()
    await one.execute(BEGUN)
    assert not one.store.files
    assert one.engine.states == []
    assert f"{A} has changed Jinja's `graph`" in caplog.text
