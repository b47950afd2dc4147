"""Adapters that need no server keep what their ports promise. Those that do are in tests/integration/ports."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import fsspec  # type: ignore[import-untyped]
import pytest

from dbt_temporal.adapters.artifact_stores.references import FsspecReferences
from dbt_temporal.adapters.secrets import SecretSettings, WorkerSecrets
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.application.ports.secrets import SecretResolver
from dbt_temporal.application.steps.take_lease import LeasesOfThisProcess
from dbt_temporal.domain.secrets.references import EnvReference, FileReference, SecretReference
from dbt_temporal.entrypoints.discovery import project_sources
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import (
    ArtifactReferencesContract,
    LeasesContract,
    ProjectSourceContract,
    SecretResolverContract,
    SeveralProjectsContract,
)
from dbt_temporal.testing.contracts.leases import OwnerOf
from tests.unit.projects.test_archives import tarred, zipped


class PlaceOnDisk:
    """A folder of this machine, or an archive, as a worker is told of it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = str(folder / name)
        self._place = folder / name
        self._environ = {"DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"), "DBT_PROJECT_DIRS": self.name}

    async def put(self, files: Mapping[str, str]) -> None:
        await asyncio.to_thread(self._put, files)

    def _put(self, files: Mapping[str, str]) -> None:
        if self._place.suffix:
            self._place.write_bytes(zipped(files) if self._place.suffix == ".zip" else tarred(files))
            return
        shutil.rmtree(self._place, ignore_errors=True)
        for path, text in files.items():
            (self._place / path).parent.mkdir(parents=True, exist_ok=True)
            (self._place / path).write_text(text)

    async def remove(self) -> None:
        if self._place.suffix:
            self._place.unlink()
        else:
            await asyncio.to_thread(shutil.rmtree, self._place)

    def source(self) -> ProjectSource:
        (source,) = project_sources(read_settings(self._environ), Path.cwd(), self._environ)
        return source


class TestSourcesOnDisk(ProjectSourceContract, SeveralProjectsContract):
    """`LocalFolder` and `ArchiveFile`."""

    @pytest.fixture(params=["shops", "shops.zip", "shops.tar.gz"])
    def place(self, request: pytest.FixtureRequest, tmp_path: Path) -> PlaceOnDisk:
        return PlaceOnDisk(tmp_path, request.param)


class RunInMemory:
    """A folder of fsspec's file system in memory."""

    def __init__(self) -> None:
        self.url = f"memory://runs-{uuid4().hex[:8]}/earlier"

    async def put(self, name: str, content: bytes) -> None:
        fsspec.filesystem("memory").pipe_file(f"{self.url}/{name}", content)


class TestFsspecReferences(ArtifactReferencesContract):
    """In memory; tests/integration/ports has buckets."""

    @pytest.fixture
    def references(self) -> FsspecReferences:
        return FsspecReferences({})

    @pytest.fixture
    def earlier(self) -> RunInMemory:
        return RunInMemory()


class Variables:
    """Variables of the worker."""

    def __init__(self) -> None:
        self._environ: dict[str, str] = {}
        self.resolver: SecretResolver = WorkerSecrets(self._environ, SecretSettings(variables=("*",)))

    def keep(self, name: str, value: str) -> SecretReference:
        self._environ[name] = value
        return EnvReference(from_env=name)

    def forget(self, name: str) -> None:
        del self._environ[name]


class Files:
    """Files of a folder that is mounted for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.resolver: SecretResolver = WorkerSecrets({}, SecretSettings(folders=(folder,)))

    def keep(self, name: str, value: str) -> SecretReference:
        (self._folder / name).write_text(value, encoding="utf-8")
        return FileReference(from_file=str(self._folder / name))

    def forget(self, name: str) -> None:
        (self._folder / name).unlink()


class TestWorkerSecrets(SecretResolverContract):
    @pytest.fixture(params=["variables", "files"])
    def secrets(self, request: pytest.FixtureRequest, tmp_path: Path) -> Variables | Files:
        return Variables() if request.param == "variables" else Files(tmp_path)


class TestLeasesOfThisProcess(LeasesContract):
    @pytest.fixture
    def leases(self) -> LeasesOfThisProcess:
        return LeasesOfThisProcess()

    @pytest.fixture
    def begin(self) -> OwnerOf:
        async def begin(name: str) -> str:
            return name

        return begin
