"""Sources of projects as a worker has them: made from the environment, in a cache folder of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.entrypoints.discovery import project_sources
from dbt_temporal.entrypoints.settings import read_settings

PROJECT = {"dbt_project.yml": "name: shop\nprofile: shop\n", "models/one.sql": "select 1 as one\n"}
"""The files of a small project."""


class Worker:
    """What a worker knows of sources."""

    def __init__(self, cache_dir: Path) -> None:
        self.cache_dir = cache_dir
        self.environ: dict[str, str] = {"DBT_TEMPORAL_CACHE_DIR": str(cache_dir)}

    async def locate(self, url: str, **environ: str) -> list[ProjectLocation]:
        """The projects of a source."""
        given = {**self.environ, **environ, "DBT_PROJECT_DIRS": url}
        (source,) = project_sources(read_settings(given), Path.cwd(), {**os.environ, **given})
        return await source.locate()

    async def locate_one(self, url: str, **environ: str) -> ProjectLocation:
        """The project of a source that has one."""
        (location,) = await self.locate(url, **environ)
        return location

    async def problem(self, url: str, **environ: str) -> str:
        """What a bad source is told to be; nothing of it is left in the cache."""
        with pytest.raises(DbtTemporalError) as caught:
            await self.locate(url, **environ)
        assert caught.value.error_type == ErrorType.CONFIGURATION
        assert self.copies() == []
        prefix = "DBT_PROJECT_DIRS: "
        assert caught.value.message.startswith(prefix)
        return caught.value.message.removeprefix(prefix)

    def copies(self) -> list[Path]:
        """All copies of sources, finished or not."""
        return [path for path in self.cache_dir.glob("sources/*/*") if path.is_dir()]


def files_below(folder: Path) -> dict[str, str]:
    """Texts by path."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}
