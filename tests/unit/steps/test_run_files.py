"""What attempts leave behind in the store: kept although a cancel comes, and as long as artifacts need it."""

from __future__ import annotations

import asyncio
import json

import pytest

from dbt_temporal.application.steps.end_run import EndRun
from dbt_temporal.application.steps.kept_state import KeptState
from dbt_temporal.application.steps.messages import EndRunInput
from dbt_temporal.application.steps.run_files import RunFiles
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
    await EndRun(FakeEngine(), store, KeptState(store))(EndRunInput(invocation=INVOCATION, has_artifacts=has_artifacts))
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
