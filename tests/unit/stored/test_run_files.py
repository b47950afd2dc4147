"""What attempts leave behind in the store: kept although a cancel comes, and as long as artifacts need it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from dbt_temporal.application.steps.end_run import EndRun
from dbt_temporal.application.steps.messages import EndRunInput
from dbt_temporal.application.steps.take_lease import LeasesOfThisProcess
from dbt_temporal.application.stored.kept_state import KeptState
from dbt_temporal.application.stored.late_writes import LateWrites, Patience
from dbt_temporal.application.stored.run_files import RunFiles
from dbt_temporal.domain.batches import BatchResults
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, model_id, planned

A = model_id("a")
INVOCATION = planned().invocation
RECORD = f"{INVOCATION.invocation_id}/records/{A}.1.json"
LOG = f"{INVOCATION.invocation_id}/logs/{A}.log"


async def test_a_cancel_that_comes_while_files_are_kept_waits_until_they_are() -> None:
    writing, go_on = asyncio.Event(), asyncio.Event()

    class SlowStore(InMemoryArtifactStore):
        async def write(self, path: str, content: bytes) -> str:
            writing.set()
            await go_on.wait()
            return await super().write(path, content)

    store = SlowStore()
    keeping = asyncio.create_task(RunFiles(store, INVOCATION.invocation_id).keep(FakeEngine.succeeds(A), attempt=1))
    await writing.wait()
    keeping.cancel()
    await asyncio.sleep(0)
    go_on.set()
    # The node had ended well: whoever cancels it now gets its result.
    assert await keeping == f"memory://{LOG}"
    assert set(store.files) == {RECORD, LOG}


@pytest.mark.parametrize(("has_artifacts", "left"), [(True, {LOG}), (False, {LOG, RECORD})])
async def test_the_end_of_a_run_deletes_its_records_once_its_artifacts_are_stored(
    has_artifacts: bool, left: set[str]
) -> None:
    store = InMemoryArtifactStore()
    await RunFiles(store, INVOCATION.invocation_id).keep(FakeEngine.succeeds(A), attempt=1)
    end_run = EndRun(FakeEngine(), store, LateWrites(), KeptState(store), LeasesOfThisProcess())
    await end_run(EndRunInput(invocation=INVOCATION, has_artifacts=has_artifacts))
    assert set(store.files) == left


async def test_the_record_of_a_lost_attempt_does_not_count() -> None:
    files = RunFiles(InMemoryArtifactStore(), INVOCATION.invocation_id)
    await files.keep(FakeEngine.succeeds(A), attempt=1)
    await files.keep(FakeEngine.fails(A), attempt=2)
    failed = FakeEngine.fails(A).result.model_copy(update={"attempts": 2})
    (completed,) = await files.with_records([failed])
    assert json.loads(completed.record)["status"] == "error"
    # The last attempt recorded its success, but was lost before it could say so: the run says that it failed.
    (lost,) = await files.with_records([failed.model_copy(update={"attempts": 1})], unrecorded=[A])
    assert lost.record == b""


class _BadMoment(InMemoryArtifactStore):
    """Takes nothing until the gate is open."""

    def __init__(self, *, refuses: bool) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.refuses = refuses

    async def write(self, path: str, content: bytes) -> str:
        if self.refuses and not self.gate.is_set():
            raise DbtTemporalError(ErrorType.ARTIFACT_STORE, "503 Slow Down")
        await self.gate.wait()
        return await super().write(path, content)


@pytest.mark.parametrize("refuses", [False, True], ids=["a store that hangs", "a store that refuses"])
async def test_a_node_does_not_wait_for_its_files_which_are_there_when_the_artifacts_need_them(
    refuses: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store = _BadMoment(refuses=refuses)
    late = LateWrites(Patience(step_secs=0.01, late_step_secs=0.001, first_pause_secs=0.01, missing_secs=60))
    files = RunFiles(store, INVOCATION.invocation_id, late)
    for unique_id in (A, model_id("b")):
        assert await files.keep(FakeEngine.succeeds(unique_id), attempt=1) is None
    assert store.files == {}
    assert f"the record of {A} is not stored yet; the run goes on" in caplog.text

    reading = asyncio.create_task(files.with_records([FakeEngine.succeeds(A).result]))
    store.gate.set()
    (completed,) = await asyncio.wait_for(reading, 60)
    assert json.loads(completed.record)["status"] == "success"


async def test_what_cannot_be_written_until_the_deadline_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    store = _BadMoment(refuses=True)
    files = RunFiles(store, INVOCATION.invocation_id, LateWrites(Patience(step_secs=60, deadline_secs=0)))
    assert await files.keep(FakeEngine.succeeds(A), attempt=1) is None
    assert f"the record of {A} could not be stored: 503 Slow Down" in caplog.text


async def test_a_late_record_of_a_run_that_has_ended_is_dropped_and_a_late_log_is_not() -> None:
    store = _BadMoment(refuses=False)
    late = LateWrites(Patience(step_secs=0.01, late_step_secs=0.001))
    files = RunFiles(store, INVOCATION.invocation_id, late)
    await files.keep(FakeEngine.succeeds(A), attempt=1)
    await files.forget_records()
    store.gate.set()
    await late.settle(f"{INVOCATION.invocation_id}/logs", 10)
    assert set(store.files) == {LOG}


async def test_nothing_of_what_is_written_stays_in_memory_on_a_worker_that_does_not_end_the_run() -> None:
    late = LateWrites()
    await RunFiles(InMemoryArtifactStore(), INVOCATION.invocation_id, late).keep(FakeEngine.succeeds(A), attempt=1)
    assert not late._groups


async def test_an_attempt_that_has_nothing_to_record_is_not_missed() -> None:
    files = RunFiles(InMemoryArtifactStore(), INVOCATION.invocation_id, LateWrites(Patience(missing_secs=0)))
    await files.keep(replace(FakeEngine.succeeds(A), record=b""), attempt=1)
    other = model_id("b")
    await files.with_records([FakeEngine.succeeds(A).result, FakeEngine.succeeds(other).result])
    assert files.missing == [other]


async def test_records_that_this_worker_cannot_write_are_not_waited_for_longer_than_others() -> None:
    class StandingStill(InMemoryArtifactStore):
        async def write(self, path: str, content: bytes) -> str:
            await asyncio.Event().wait()
            raise AssertionError

    late = LateWrites(Patience(step_secs=0.01, late_step_secs=0.01, missing_secs=0.5))
    files = RunFiles(StandingStill(), INVOCATION.invocation_id, late)
    await files.keep(FakeEngine.succeeds(A), attempt=1)
    async with asyncio.timeout(2):
        await files.with_records([FakeEngine.succeeds(A).result])
    assert files.missing == [A]
    late.forget(f"{INVOCATION.invocation_id}/records")
    late.forget(f"{INVOCATION.invocation_id}/logs")


async def test_batches_of_a_model_are_recorded_and_the_last_attempt_at_each_counts() -> None:
    store = InMemoryArtifactStore()
    files = RunFiles(store, INVOCATION.invocation_id)
    batch = FakeEngine.succeeds(A)
    for name, attempt, record in ((".2026-01-01", 1, b"old"), (".2026-01-01", 10, b"new"), (".2026-01-02", 9, b"two")):
        await files.keep(replace(batch, record=record), attempt, name)
    await files.keep(replace(batch, record=b""), 1, ".2026-01-03")  # it has written nothing
    await files.keep(replace(batch, record=b"the model's"), 1)
    store.files[f"{INVOCATION.invocation_id}/records/batches/{A}/..2026-01-04.1.json.half"] = b"being written"
    whole = batch.result.model_copy(update={"batch_results": BatchResults()})
    other = FakeEngine.succeeds(model_id("b")).result
    model, beside = await files.with_records([whole, other], unrecorded=[other.unique_id], with_batches=True)
    assert (model.record, sorted(model.batches)) == (b"the model's", [b"new", b"two"])
    assert beside.batches == ()
    assert await files.with_records([whole]) == [replace(model, batches=())], "on-run-end needs none"
    await files.forget_records()
    assert not any("/records/" in path for path in store.files)
