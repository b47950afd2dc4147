"""Artifacts on moto's S3 and fake-gcs-server, and earlier runs read from there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.artifact_stores.references import FsspecReferences
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.testing import ArtifactStoreContract
from tests.integration.buckets import S3, Storage
from tests.integration.engine_driver import copy_project, drive, new_invocation, open_engine, opened
from tests.integration.fixtures_buckets import gcs_endpoint, s3, s3_endpoint, storage

__all__ = ["gcs_endpoint", "s3", "s3_endpoint", "storage"]


def store_of(storage: Storage) -> FsspecArtifactStore:
    return FsspecArtifactStore(f"{storage.url}/runs", os.environ)


@pytest.fixture
def store(storage: Storage) -> FsspecArtifactStore:
    return store_of(storage)


class TestBuckets(ArtifactStoreContract):
    """On S3 and on Cloud Storage."""


async def test_what_is_written_is_an_object_at_the_place_that_is_returned(storage: Storage) -> None:
    store = store_of(storage)
    place = await store.write("id/manifest.json", b"{}")
    assert place == f"{storage.url}/runs/id/manifest.json"
    assert storage.get("runs/id/manifest.json") == b"{}"
    assert await store.read("id/manifest.json") == b"{}"


async def test_what_others_have_written_since_is_read(storage: Storage) -> None:
    store = store_of(storage)
    assert await store.read("id/log.txt") is None
    storage.put("runs/id/log.txt", b"one")
    assert await store.read("id/log.txt") == b"one"
    storage.put("runs/id/log.txt", b"two")
    assert await store.read("id/log.txt") == b"two"


async def test_objects_below_a_prefix_are_listed_with_size_and_time(storage: Storage) -> None:
    store = store_of(storage)
    assert await store.list_files("parses") == []
    began = time.time()
    await store.write("parses/one.parse", b"four")
    await store.write("id/log.txt", b"x")
    (listed,) = await store.list_files("parses")
    assert (listed.path, listed.size) == ("parses/one.parse", 4)
    assert began - 60 < listed.modified < time.time() + 60


@pytest.mark.parametrize("size", [2, 12_000_000])
async def test_a_file_of_this_machine_is_an_object_by_its_path(storage: Storage, tmp_path: Path, size: int) -> None:
    file = tmp_path / "manifest.json"
    file.write_bytes(b"x" * size)
    place = await store_of(storage).upload("id/manifest.json", file)
    assert place == f"{storage.url}/runs/id/manifest.json"
    assert storage.get("runs/id/manifest.json") == b"x" * size


async def test_a_file_that_cannot_be_uploaded_leaves_what_was_there(storage: Storage, tmp_path: Path) -> None:
    store = store_of(storage)
    await store.write("id/manifest.json", b"old")
    with pytest.raises(DbtTemporalError, match=f"cannot write .* in the artifact store {storage.url}/runs"):
        await store.upload("id/manifest.json", tmp_path / "none")
    assert await store.read("id/manifest.json") == b"old"


async def test_a_large_object_is_copied_within_the_store(storage: Storage) -> None:
    store = store_of(storage)
    await store.write("id/manifest.json", b"x" * 2_000_000)
    assert await store.copy("id/manifest.json", "latest/shop/prod/manifest [1].json")
    assert storage.get("runs/latest/shop/prod/manifest [1].json") == b"x" * 2_000_000


async def test_a_file_is_deleted_and_what_lies_below_its_name_stays(storage: Storage) -> None:
    store = store_of(storage)
    await store.write("latest/shop", b"x")
    await store.write("latest/shop/prod/run.json", b"y")
    await store.delete_file("latest/shop")
    await store.delete_file("latest/shop")
    assert await store.read("latest/shop") is None
    assert await store.read("latest/shop/prod/run.json") == b"y"


async def test_a_bucket_that_is_gone_is_told_with_its_name(storage: Storage) -> None:
    store = FsspecArtifactStore(f"{storage.url}-gone/runs", os.environ)
    with pytest.raises(DbtTemporalError) as caught:
        await store.write("id/log.txt", b"x")
    assert caught.value.error_type == ErrorType.ARTIFACT_STORE
    assert f"in the artifact store {storage.url}-gone/runs: there is no such bucket or object (" in caught.value.message


async def test_the_endpoint_variables_of_the_predecessor_are_read(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    environ = {"AWS_ENDPOINT": s3.endpoint, "AWS_ALLOW_HTTP": "true"}
    await FsspecArtifactStore(s3.url, environ).write("log.txt", b"x")
    assert s3.get("log.txt") == b"x"


async def test_of_an_earlier_run_only_artifacts_are_copied(storage: Storage, tmp_path: Path) -> None:
    for name in ("manifest.json", "run_results.json", "log.txt"):
        storage.put(f"old/{name}", name.encode())
    await FsspecReferences(os.environ).fetch("retry_from", f"{storage.url}/old", tmp_path / "here")
    assert sorted(os.listdir(tmp_path / "here")) == ["manifest.json", "run_results.json"]


async def test_a_path_that_is_written_as_a_url_is_left_to_the_engine(tmp_path: Path) -> None:
    reference = "file:///x/manifest.json"
    assert await FsspecReferences({}).fetch("retry_from", reference, tmp_path) == reference


async def test_a_run_takes_state_and_results_of_earlier_runs_from_a_bucket(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAFFLE_SHOP_DB", str(tmp_path / "jaffle_shop.duckdb"))
    location = copy_project("examples/jaffle-shop", tmp_path / "shop")
    async with open_engine(tmp_path / "cache", references=FsspecReferences(os.environ)) as engine:
        first = await drive(engine, location, new_invocation(command="seed"))
        results = json.loads(first.artifacts["run_results.json"])
        failed = next(result for result in results["results"] if result["unique_id"].startswith("seed."))
        failed["status"] = "error"
        s3.put("runs/first/manifest.json", first.artifacts["manifest.json"])
        s3.put("runs/first/run_results.json", json.dumps(results).encode())
        again = new_invocation(command="seed", retry_from=f"{s3.url}/runs/first/run_results.json")
        assert list((await opened(engine, location, again).plan()).plan.nodes) == [failed["unique_id"]]
        model = next((location.project_dir / "models").rglob("*.sql"))
        model.write_text(model.read_text() + "\n-- changed\n")
        changed = new_invocation(
            command="list", select="state:modified", state_manifest_ref=f"{s3.url}/runs/first/manifest.json"
        )
        names = [node.name for node in (await opened(engine, location, changed).plan()).plan.nodes.values()]
        assert names == [model.stem]
