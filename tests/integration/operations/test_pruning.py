"""Old runs go from the artifact store: in folders and buckets, beside runs that go on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.temporal.listing import open_runs
from dbt_temporal.application.stored.latest import LatestArtifacts
from dbt_temporal.application.stored.retention import OpenRuns, Retention, Rule, chosen
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.entrypoints.cli.operators.pruning import prune_store
from dbt_temporal.entrypoints.cli.operators.runs import connected
from dbt_temporal.entrypoints.cli.submit import Target
from tests.integration.fixtures_buckets import gcs_endpoint, s3_endpoint, storage
from tests.integration.operations.test_stored_files import A, Shown, is_listed, target
from tests.integration.run_harness import RunHarness

__all__ = ["gcs_endpoint", "s3_endpoint", "storage", "target"]

OLD = [f"0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6b{number:02}" for number in range(4)]


async def filled(store: FsspecArtifactStore) -> None:
    """Runs of 2020, one a day, in the order of their ids, the last of which is of a release without `run.json`."""
    for day, run in enumerate(OLD, 1):
        for name in ("manifest.json", "logs/model.shop.a.log", "logs/model.shop.b.log"):
            await store.write(f"{run}/{name}", b"12345")
        if run != OLD[-1]:
            await store.write(f"{run}/run.json", old_run(run, day).model_dump_json().encode())


def old_run(invocation_id: str, day: int) -> LatestRun:
    return LatestRun(
        invocation_id=invocation_id,
        project="shop",
        target="dev",
        command="build",
        success=True,
        ended_at=f"2020-01-{day:02}T06:00:00+00:00",
    )


async def pruned(root: str, environ: dict[str, str]) -> None:
    """The oldest run is the latest; one of the others is deleted, after an attempt that was cut short."""
    store = FsspecArtifactStore(root, environ)
    await filled(store)
    await LatestArtifacts(store).publish(old_run(OLD[0], 1))
    retention = Retention(store)
    known = await retention.runs(with_unknown=True)
    assert {run.invocation_id: run.group for run in known} == dict.fromkeys(OLD[:3], ("shop", "dev")) | {
        OLD[3]: ("?", "?")
    }
    going = chosen(known, Rule(keep=1), datetime.now(UTC), await retention.named(), OpenRuns())
    assert [run.invocation_id for run in going] == [OLD[1]]
    await store.delete(f"{OLD[1]}/logs")
    (gone,) = await asyncio.gather(*(retention.delete(run) for run in going))
    assert gone.files == 2
    assert sorted(await store.list_folders("")) == sorted([*OLD[:1], *OLD[2:], "latest"])
    assert (await retention.delete(going[0])).files == 0
    assert {run.invocation_id for run in await retention.runs(with_unknown=False)} == {OLD[0], OLD[2]}


async def test_old_runs_go_from_a_folder(tmp_path: Path) -> None:
    await pruned(str(tmp_path / "store"), {})


async def test_old_runs_go_from_a_bucket(storage: Any) -> None:
    await pruned(f"{storage.url}/artifacts", storage.environ)


async def test_the_command_deletes_what_it_has_shown_and_leaves_what_runs_may_use(
    runs: RunHarness, target: Target, tmp_path: Path
) -> None:
    place = str(tmp_path / "store")
    await filled(FsspecArtifactStore(place))
    runs.engine.gates[A] = gate = asyncio.Event()
    going_on = await runs.submit()
    await runs.has_begun(A)
    await is_listed(target, going_on.workflow_id)
    del runs.engine.gates[A]
    ended = await runs.submit()
    await ended.outcome()
    runs.engine.gates[A] = gate
    ids = {run: await runs.gateway.invocation_id(run.workflow_id) for run in (ended, going_on)}
    found = await open_runs(await connected(target))
    assert ids[going_on] in found.invocation_ids
    assert ids[ended] not in found.invocation_ids
    shown = Shown()
    assert await prune_store(target, place, Rule(keep=1), True, shown) == 0
    header, *rows, told = shown.text.splitlines()
    assert header.split() == ["PROJECT", "TARGET", "COMMAND", "ENDED", "STATUS", "FILES", "SIZE", "INVOCATION", "ID"]
    assert [row.split()[-1] for row in rows] == OLD[:2], "the run may have begun with the next one"
    assert told.startswith("2 runs (8 files, ")
    assert len(list((tmp_path / "store" / OLD[0]).rglob("*.*"))) == 4
    shown = Shown()
    await prune_store(target, place, Rule(keep=1), False, shown)
    assert [line.split()[-1] for line in shown.text.splitlines() if line.startswith("deleted ")] == OLD[:2]
    left = {path.name for path in (tmp_path / "store").iterdir()}
    assert left >= {*OLD[2:], ids[ended], "latest", "newest"}
    assert left.isdisjoint(OLD[:2])
    shown = Shown()
    await prune_store(target, place, Rule(keep=1), False, shown)
    assert shown.text.startswith("0 runs (0 files, 0 B) of ")


@pytest.mark.parametrize("is_planned", [False, True])
async def test_runs_stay_whose_artifacts_one_reads_that_goes_on(
    runs: RunHarness, target: Target, tmp_path: Path, is_planned: bool
) -> None:
    runs.engine.gates[A] = asyncio.Event()
    named = {"retry_from": OLD[0], "state_manifest_ref": f"{tmp_path}/store/{OLD[1]}/manifest.json"}
    if is_planned:
        await runs.store.write("newest/shop", OLD[2].encode())
        run = await runs.submit({**named, "state_manifest_ref": "latest"})
        await runs.has_begun(A)
    else:
        run = await runs.gateway.submit(named, f"run-{uuid4().hex}")
    await is_listed(target, run.workflow_id)
    found = await open_runs(await connected(target))
    assert found.invocation_ids.issuperset({OLD[0], OLD[2 if is_planned else 1]})
    await run.terminate("the test has ended")
