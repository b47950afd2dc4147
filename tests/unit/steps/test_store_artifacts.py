"""The step that stores a run's artifacts: from records, side by side, with what it says of those that are missing."""

import asyncio
import io
import zipfile

import pytest

from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import EndRunInput, StoreArtifactsInput
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, ready_project, result
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.steps.test_use_cases import LOG, RECORD, World, invocation


async def test_artifacts_are_assembled_from_records_and_the_records_go() -> None:
    world = World()
    await world.execute()
    stored = await world.use_cases.store_artifacts(
        StoreArtifactsInput(
            invocation=invocation(),
            results=[result("a"), result("b", "skipped", attempts=0)],
            elapsed_time=2.5,
            run_log="hello\n",
        )
    )
    assert stored.artifacts.model_dump() == {
        "run_results_path": f"memory://{INVOCATION_ID}/run_results.json",
        "manifest_path": f"memory://{INVOCATION_ID}/manifest.json",
        "log_path": f"memory://{INVOCATION_ID}/log.txt",
        "catalog_path": None,
        "sources_path": None,
    }
    assert stored.log_path == stored.artifacts.log_path
    assert [bool(each.record) for each in world.engine.seen_by_artifacts] == [True, False]
    assert RECORD in world.store.files, "another attempt would need them"
    await world.use_cases.end_run(EndRunInput(invocation=invocation(), has_artifacts=True))
    assert RECORD not in world.store.files
    assert world.store.files[f"{INVOCATION_ID}/log.txt"] == b"hello\n"
    assert LOG in world.store.files


async def test_artifacts_are_written_side_by_side() -> None:
    class OnlyTogether(InMemoryArtifactStore):
        """Writes a file only when another is being written."""

        def __init__(self) -> None:
            super().__init__()
            self.both = asyncio.Barrier(2)

        async def write(self, path: str, content: bytes) -> str:
            if path.startswith(INVOCATION_ID):
                await self.both.wait()
            return await super().write(path, content)

    store = OnlyTogether()
    store_artifacts = UseCases.build(FakeEngine(), ProjectRegistry([ready_project()]), store).store_artifacts
    await asyncio.wait_for(
        store_artifacts(StoreArtifactsInput(invocation=invocation(), results=[], elapsed_time=1)), 60
    )
    assert {path.rpartition("/")[2] for path in store.files if path.startswith(INVOCATION_ID)} == {
        "run_results.json",
        "manifest.json",
    }


async def test_a_record_that_cannot_be_read_is_replaced_by_the_small_result() -> None:
    world = World()
    await world.execute()
    world.store.broken = [f"{INVOCATION_ID}/records"]
    await world.use_cases.store_artifacts(StoreArtifactsInput(invocation=invocation(), results=[result("a")]))
    assert [each.record for each in world.engine.seen_by_artifacts] == [b""]
    assert f"{INVOCATION_ID}/run_results.json" in world.store.files
    stored = await world.use_cases.store_artifacts(
        StoreArtifactsInput(invocation=invocation(), results=[result("a"), result("b", "skipped", attempts=0)])
    )
    assert stored.unstored == [result("a").unique_id]


async def test_of_a_command_that_executes_nothing_no_records_are_missed() -> None:
    listing = invocation().model_copy(update={"input": parse_run_input({"command": "list"})})
    stored = await World().use_cases.store_artifacts(StoreArtifactsInput(invocation=listing, results=[result("a")]))
    assert stored.unstored == []


async def test_the_run_log_can_be_written_alone() -> None:
    world = World()
    asked = StoreArtifactsInput(invocation=invocation(), run_log="hello\n", log_only=True)
    output = await world.use_cases.store_artifacts(asked)
    assert world.store.files == {f"{INVOCATION_ID}/log.txt": b"hello\n"}
    assert output.log_path == output.artifacts.log_path == f"memory://{INVOCATION_ID}/log.txt"


async def test_the_run_log_is_not_written_where_it_is_off() -> None:
    world = World()
    stored = await world.use_cases.store_artifacts(StoreArtifactsInput(invocation=invocation()))
    assert stored.log_path is None
    assert f"{INVOCATION_ID}/log.txt" not in world.store.files


async def test_an_artifact_that_cannot_be_written_is_an_artifact_store_error() -> None:
    world = World()
    world.store.broken = [f"{INVOCATION_ID}/manifest.json"]
    with pytest.raises(DbtTemporalError) as caught:
        await world.use_cases.store_artifacts(StoreArtifactsInput(invocation=invocation()))
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ARTIFACT_STORE, True)


def latest_run() -> LatestRun:
    return LatestRun(
        invocation_id=INVOCATION_ID,
        project="shop",
        target="prod",
        command="build",
        success=True,
        ended_at="2026-03-01T06:00:00+00:00",
    )


async def test_a_run_becomes_the_latest_of_its_target_where_the_setting_wants_it() -> None:
    world = World()
    request = StoreArtifactsInput(invocation=invocation(), results=[result("a")], latest=latest_run())
    await world.use_cases.store_artifacts(request)
    folder = {path for path in world.store.files if path.startswith("latest/")}
    assert folder == {f"latest/shop/prod/{name}" for name in ("manifest.json", "run_results.json", "run.json")}
    store = InMemoryArtifactStore()
    never = UseCases.build(FakeEngine(), ProjectRegistry([ready_project()]), store, latest="never")
    await never.store_artifacts(request)
    assert not any(path.startswith("latest/") for path in store.files)


async def test_a_run_that_had_no_nodes_is_not_the_latest_of_its_target() -> None:
    world = World()
    hook = result("a").model_copy(update={"unique_id": "operation.shop.shop-on-run-start-0"})
    for results in ([], [hook]):
        request = StoreArtifactsInput(invocation=invocation(), results=results, latest=latest_run())
        await world.use_cases.store_artifacts(request)
    assert f"{INVOCATION_ID}/run_results.json" in world.store.files
    assert not any(path.startswith("latest/") for path in world.store.files)


async def test_a_run_that_cannot_become_the_latest_is_tried_again_and_does_not_fail_for_it() -> None:
    world = World()
    world.store.broken = ["latest"]
    request = StoreArtifactsInput(invocation=invocation(), results=[result("a")], latest=latest_run())
    with pytest.raises(DbtTemporalError, match="latest"):
        await world.use_cases.store_artifacts(request)
    stored = await world.use_cases.store_artifacts(request.model_copy(update={"attempt": 2}))
    assert stored.latest_problem == "memory://latest/shop: the store is told to fail"
    assert stored.artifacts.run_results_path == f"memory://{INVOCATION_ID}/run_results.json"


SQL = {"compiled/shop/models/a.sql": "select 1", "run/shop/models/a.sql": "create view a as (select 1)"}


async def test_the_sql_of_a_run_is_one_file_where_the_setting_wants_it() -> None:
    world = World(write_sql=True)
    world.engine.sql = SQL
    request = StoreArtifactsInput(invocation=invocation(), about=latest_run())
    stored = await world.use_cases.store_artifacts(request)
    names = {path.removeprefix(f"{INVOCATION_ID}/") for path in world.store.files if path.startswith(INVOCATION_ID)}
    assert names == {"run_results.json", "manifest.json", "run.json", "sql.zip"}
    assert stored.artifacts.sql_path == f"memory://{INVOCATION_ID}/sql.zip"
    with zipfile.ZipFile(io.BytesIO(world.store.files[f"{INVOCATION_ID}/sql.zip"])) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == SQL
    assert LatestRun.model_validate_json(world.store.files[f"{INVOCATION_ID}/run.json"]) == latest_run()
    without = World()
    without.engine.sql = SQL
    stored = await without.use_cases.store_artifacts(request)
    assert "sql_path" not in stored.artifacts.model_dump()
    assert f"{INVOCATION_ID}/sql.zip" not in without.store.files


@pytest.mark.parametrize("retryable", [True, False])
async def test_sql_that_cannot_be_made_costs_a_run_nothing_else(retryable: bool) -> None:
    world = World(write_sql=True)
    world.engine.sql = DbtTemporalError(ErrorType.ENGINE_CRASHED, "the disk is full", retryable=retryable)
    request = StoreArtifactsInput(invocation=invocation())
    if retryable:  # which another attempt may mend
        with pytest.raises(DbtTemporalError, match="the disk is full"):
            await world.use_cases.store_artifacts(request)
        request = request.model_copy(update={"attempt": 2})
    stored = await world.use_cases.store_artifacts(request)
    assert stored.sql_problem == "the disk is full"
    assert stored.artifacts.sql_path is None
    assert f"{INVOCATION_ID}/run_results.json" in world.store.files


async def test_sql_that_the_store_does_not_take_costs_a_run_nothing_else() -> None:
    world = World(write_sql=True)
    world.engine.sql = SQL
    world.store.broken = [f"{INVOCATION_ID}/sql.zip"]
    stored = await world.use_cases.store_artifacts(StoreArtifactsInput(invocation=invocation()))
    assert stored.sql_problem == f"memory://{INVOCATION_ID}/sql.zip: the store is told to fail"
    assert (stored.artifacts.sql_path, stored.artifacts.manifest_path is None) == (None, False)


async def test_nodes_whose_sql_an_engine_cannot_have_are_told() -> None:
    world = World(write_sql=True)
    world.engine.sql = {**SQL, "MISSING.txt": "".join(f"model.shop.{name}\n" for name in "bcdefg")}
    stored = await world.use_cases.store_artifacts(StoreArtifactsInput(invocation=invocation()))
    told = "nothing is known of 6 nodes, which ran on another machine: model.shop.b, model.shop.c, model.shop.d, "
    assert stored.sql_problem == f"{told}model.shop.e, model.shop.f, ..."
    assert stored.artifacts.sql_path == f"memory://{INVOCATION_ID}/sql.zip"
