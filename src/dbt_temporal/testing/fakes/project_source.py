"""A source whose projects are files of a test."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

PROJECT_FILE = "dbt_project.yml"


class FakeProjectSource:
    """Implements `ProjectSource`: of paths that nobody looks into, or of files, which it writes when it is asked.

    Attributes:
        files: texts by path, as at the place that a source is for; a test may change them. A project is where its
            dbt_project.yml is: in the place itself, else one level down.
        name: the place, for messages.
        problem: what `locate` raises in place of an answer.
        asked: how often it was asked.
    """

    def __init__(
        self,
        *paths: str,
        files: Mapping[str, str] | None = None,
        folder: Path | None = None,
        name: str = "fake://projects",
    ) -> None:
        """A source.

        Args:
            *paths: of projects of which there are no files.
            files: of projects of which there are some, for which `folder` is needed.
            folder: where they are written, each revision by itself; several sources may have the same.
            name: the place, for messages.
        """
        assert folder is not None or not files, "files need a folder"
        self.files = dict(files or {})
        self.name = name
        self.problem: DbtTemporalError | None = None
        self.asked = 0
        self._paths = paths
        self._folder = folder

    async def locate(self) -> list[ProjectLocation]:
        """The paths, and the projects among the files."""
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        found = [ProjectLocation(Path(path), Path(path), source=path) for path in self._paths]
        below = self._below()
        if self._folder is not None and below:
            found += await asyncio.to_thread(self._located, self._folder, below)
        if not found:
            raise configuration_error(f"{self.name}: holds no dbt project: there is no {PROJECT_FILE}")
        return found

    def _below(self) -> list[str]:
        """Where the projects are among the files; an empty text is the place itself."""
        if PROJECT_FILE in self.files:
            return [""]
        return sorted(path.partition("/")[0] for path in self.files if path.count("/") == 1 and PROJECT_FILE in path)

    def _located(self, folder: Path, below: list[str]) -> list[ProjectLocation]:
        revision = hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()[:40]
        copy = folder / revision
        for path, text in self.files.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_text(text, encoding="utf-8")
        return [
            ProjectLocation(
                copy / name, copy / name, revision=revision, source=f"{self.name}/{name}" if name else self.name
            )
            for name in below
        ]
