"""Sources of projects from elsewhere, and references to earlier runs there, keep what their ports promise."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.artifact_stores.references import FsspecReferences
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.entrypoints.discovery import project_sources
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import ArtifactReferencesContract, ProjectSourceContract, SeveralProjectsContract
from tests.integration.buckets import Gcs, Storage
from tests.integration.fixtures_buckets import gcs, gcs_endpoint, s3_endpoint, storage
from tests.integration.sources.git_servers import Repository

__all__ = ["gcs", "gcs_endpoint", "s3_endpoint", "storage"]


class Worker:
    """What a worker that is told of one source has for it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._environ = {"DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"), "DBT_PROJECT_DIRS": name}

    def source(self) -> ProjectSource:
        (source,) = project_sources(read_settings(self._environ), Path.cwd(), {**os.environ, **self._environ})
        return source


class GitPlace(Worker):
    """The branch `main` of a repository."""

    def __init__(self, folder: Path) -> None:
        self._repository = Repository(folder / "shop.git")
        super().__init__(folder, f"git+file://{self._repository.folder}#main")

    async def put(self, files: Mapping[str, str]) -> None:
        await asyncio.to_thread(self._put, files)

    def _put(self, files: Mapping[str, str]) -> None:
        for entry in self._repository.folder.iterdir():
            if entry.name != ".git":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self._repository.commit(files)

    async def remove(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._repository.folder)


class TestGit(ProjectSourceContract, SeveralProjectsContract):
    """By a path of this machine; tests/integration/sources has servers."""

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitPlace:
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        return GitPlace(tmp_path)


class BucketPlace(Worker):
    """A prefix of a bucket."""

    def __init__(self, folder: Path, bucket: Storage) -> None:
        super().__init__(folder, f"{bucket.url}/shops")
        self._objects = FsspecArtifactStore(bucket.url, os.environ)

    async def put(self, files: Mapping[str, str]) -> None:
        await self.remove()
        for path, text in files.items():
            await self._objects.write(f"shops/{path}", text.encode())

    async def remove(self) -> None:
        await self._objects.delete("shops")


class TestBuckets(ProjectSourceContract, SeveralProjectsContract):
    """On Cloud Storage, to which it takes less to connect; tests/integration/sources has S3 as well."""

    @pytest.fixture
    def place(self, tmp_path: Path, gcs: Gcs) -> BucketPlace:
        return BucketPlace(tmp_path, gcs)


class StoredRun:
    """The folder of a run in a bucket."""

    def __init__(self, bucket: Storage) -> None:
        self.url = f"{bucket.url}/runs/earlier"
        self._bucket = bucket

    async def put(self, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._bucket.put, f"runs/earlier/{name}", content)


class TestReferences(ArtifactReferencesContract):
    """On S3 and on Cloud Storage."""

    @pytest.fixture
    def references(self) -> FsspecReferences:
        return FsspecReferences(os.environ)

    @pytest.fixture
    def earlier(self, storage: Storage) -> StoredRun:
        return StoredRun(storage)
