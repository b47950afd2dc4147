"""Workers that begin one after the other, each with an empty cache folder, and share a store."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_core.parents.shared import FOLDER, SharedParses
from dbt_temporal.adapters.project_files import content_revision
from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import drive, new_invocation, open_engine, write_files

WHOLE = "parsed as a whole"
TAKEN = "not parsed, as nothing changed since the parse of another worker"
PARTLY = "parsed what changed since the parse of another worker"
KEPT = "not parsed, as nothing changed since the last parse"
PROFILES = 'shop: {target: dev, outputs: {dev: {type: duckdb, path: ":memory:", schema: main, threads: 1}}}'
FILES = {
    "dbt_project.yml": "name: shop\nprofile: shop\nmacro-paths: [macros]\n",
    "../profiles/profiles.yml": PROFILES,
    "macros/price.sql": "{% macro price() %}{{ return('100') }}{% endmacro %}",
    "models/priced.sql": "{{ config(alias='price_' ~ price()) }} select 7 as x",
    "models/above.sql": "{{ config(alias='for_' ~ env_var('WHO', 'nobody')) }} select * from {{ ref('priced') }}",
    "models/left.sql": "select 1 as x",
    "models/shop.yml": "models: [{name: left, description: one, columns: [{name: x, data_tests: [not_null]}]}]\n",
    "seeds/rates.csv": "id,rate\n1,5\n",
}
PACKAGE = {
    "packages.yml": "packages: [{local: ../pricing}]\n",
    "../pricing/dbt_project.yml": "name: pricing\n",
    "../pricing/macros/discount.sql": "{% macro discount() %}7{% endmacro %}",
    "models/discounted.sql": "{{ config(alias='less_' ~ pricing.discount()) }} select 1 as x",
}


@dataclass
class Fleet:
    """A project, a store, and where its workers keep their caches."""

    folder: Path
    log: pytest.LogCaptureFixture
    environ: dict[str, str] = field(default_factory=dict)
    keys: Sequence[bytes] = ()
    secrets: dict[str, str] = field(default_factory=dict)
    target: str | None = None
    project: str = "shop"

    def write(self, files: Mapping[str, str]) -> None:
        """Writes files of the project."""
        write_files(self.folder / self.project, files)

    @property
    def location(self) -> ProjectLocation:
        """The project with the revision of its files."""
        place = self.folder / self.project
        return ProjectLocation(place, self.folder / "profiles", content_revision(place), target=self.target)

    def parses(self) -> list[Path]:
        """The files in the store, the one that was written last coming last."""
        return sorted((self.folder / "store" / FOLDER).glob("*"), key=lambda file: file.stat().st_mtime_ns)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[DbtCoreEngine]:
        """A worker whose project is loaded, and whose parse is stored, if it is."""
        environ = {**os.environ, **self.environ}
        store = FsspecArtifactStore(str(self.folder / "store"))
        shared = SharedParses(store, {**environ, **self.secrets}, self.keys)
        async with open_engine(self.folder / "cache", environ=environ, shared=shared) as engine:
            await engine.load_project(self.location)
            await shared.settle()
            yield engine

    async def begins(self, *, keeps_cache: bool = False) -> str:
        """What a worker says of its parse when it begins."""
        return (await self.lists(keeps_cache=keeps_cache, with_run=False))[0]

    async def lists(self, *, keeps_cache: bool = False, with_run: bool = True) -> tuple[str, dict[str, Any]]:
        """The same, and the manifest of a run."""
        if not keeps_cache:
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
        self.log.clear()
        manifest: dict[str, Any] = {}
        with self.log.at_level(logging.INFO):
            async with self.worker() as engine:
                if with_run:
                    run = await drive(engine, self.location, new_invocation(command="list"))
                    manifest = json.loads(run.artifacts["manifest.json"])
        said = [record.getMessage() for record in self.log.records]
        return next(text.removeprefix("project shop: ") for text in said if text.startswith("project ")), manifest

    def warnings(self) -> list[str]:
        """What the last worker warned of."""
        engine = "the parse of another worker is not used"
        return [
            record.getMessage()
            for record in self.log.records
            if record.levelno >= logging.WARNING or record.getMessage().startswith(engine)
        ]
