"""Project parents, one per parse key: loaded once, kept for the next run, evicted when unused and too many."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from dbt_temporal.adapters.dbt_core.keyed_locks import KeyedLocks
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_core.parents.fingerprint import fingerprint
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.template import ForkedProcess, Forker, Template
from dbt_temporal.adapters.project_files import content_revision
from dbt_temporal.application.ports.telemetry import NoTelemetry, ProjectParsed, Telemetry
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

DepsMode = Literal["auto", "always", "never"]
"""When packages are installed into a private folder: where the project's own one lacks some, in any case, or never."""


@dataclass
class ParentHandle:
    """A loaded parent as the worker sees it.

    Attributes:
        facts: what it says of the project.
        folder: what its dbt writes.
        memory_bytes: what it held of its own when it was loaded.
        users: how many hosts and callers need it.
    """

    process: ForkedProcess
    forker: Forker
    facts: Mapping[str, Any]
    folder: Path
    memory_bytes: int = 0
    users: int = 0

    @property
    def alive(self) -> bool:
        return not self.process.channel.closed.is_set()

    @property
    def forkable(self) -> bool:
        """Whether hosts may be forked from it, or must load the project themselves."""
        return bool(self.facts["forkable"])


class ParentPool:
    def __init__(
        self,
        template: Template,
        environ: Mapping[str, str],
        cache_dir: Path,
        work_dir: Path,
        limits: EngineLimits,
        deps: DepsMode = "auto",
        telemetry: Telemetry | None = None,
    ) -> None:
        self._template = template
        self._environ = environ
        self._cache_dir = cache_dir
        self._work_dir = work_dir
        self._limits = limits
        self._deps = deps
        self._telemetry = telemetry or NoTelemetry()
        # With `always`, packages are installed anew once in the life of a worker; all its parses share them.
        self._install = uuid4().hex if deps == "always" else ""
        self._parents: OrderedDict[str, ParentHandle] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()
        self._loading = KeyedLocks()
        # A parse keeps a core busy: more at once would only make each of them, and the nodes beside them, later.
        self._parsing = asyncio.Semaphore(os.cpu_count() or 1)

    @contextlib.asynccontextmanager
    async def using(self, settings: ParseSettings) -> AsyncIterator[ParentHandle]:
        """A loaded parent that is not evicted meanwhile."""
        parent = await self.acquire(settings)
        try:
            yield parent
        finally:
            self.release(parent)

    async def acquire(self, settings: ParseSettings) -> ParentHandle:
        """A loaded parent, which the caller must `release`. Callers for one key wait for one load."""
        key = settings.key
        if settings.unrevised:
            key = f"{key}-{await asyncio.to_thread(fingerprint, *settings.unrevised)}"
        async with self._loading.holding(key):
            parent = self._parents.get(key)
            if parent is None or not parent.alive:
                self._remove(key)
                parent = self._parents[key] = await self.load(settings)
            self._parents.move_to_end(key)
            parent.users += 1
        self._evict()
        return parent

    def release(self, parent: ParentHandle) -> None:
        """Says that a caller needs the parent no more. Never waits, so that nobody is cancelled halfway."""
        parent.users -= 1
        if parent.users == 0 and parent not in self._parents.values():
            self._discard(parent)
        self._evict()

    async def load(self, settings: ParseSettings) -> ParentHandle:
        """A parent of the caller's own, outside of the pool.

        Raises:
            DbtTemporalError: ProjectNotFound, where the files are not, or no longer, those of the revision.
        """
        async with self._parsing:
            await _check_revision(settings)
            try:
                parent = await self._load(settings)
            except DbtTemporalError:
                await _check_revision(settings)  # dbt may have missed what was edited under its hands
                raise
            try:
                await _check_revision(settings)
            except BaseException:
                self._discard(parent)
                raise
            return parent

    async def _load(self, settings: ParseSettings) -> ParentHandle:
        folder = self._work_dir / "parents" / uuid4().hex
        parsed = self._cache_dir / "parsed"
        for path in (folder, parsed):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        process, forker = await self._template.fork_parent()
        try:
            facts = await process.channel.request(
                "load",
                project_dir=settings.project_dir,
                profiles_dir=settings.profiles_dir,
                target=settings.target,
                vars=settings.vars,
                # A run's own environment is seldom that of many runs; the worker's is.
                long_lived=not settings.env,
                environ={**self._environ, **settings.env},
                target_path=str(folder),
                partial_parse=str(parsed / f"{settings.cache_key}.msgpack"),
                packages={"mode": self._deps, "folder": str(self._cache_dir / "packages"), "install": self._install},
            )
            memory = await asyncio.to_thread(process.memory_bytes)
        except BaseException:
            process.kill()  # it may be amid parsing, and would not hear of its end
            await process.channel.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._telemetry.record(ProjectParsed(facts["name"], facts["load_seconds"]))
        return ParentHandle(process, forker, facts, folder, memory)

    async def close(self) -> None:
        for parent in self._parents.values():
            self._discard(parent)
        self._parents.clear()
        await asyncio.gather(*self._ending)

    def _discard(self, parent: ParentHandle) -> None:
        """Ends a parent by and by."""
        ending = asyncio.get_running_loop().create_task(_end(parent), context=Context())  # of no run
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _evict(self) -> None:
        """Ends parents that nobody uses, the longest unused first, until the others are within the limits."""
        latest = next(reversed(self._parents), None)
        for key, parent in list(self._parents.items()):
            memory = sum(parent.memory_bytes for parent in self._parents.values())
            if len(self._parents) <= self._limits.max_projects and memory <= self._limits.projects_memory_bytes:
                break
            if parent.users == 0 and key != latest:  # what was used last is most likely to be used next
                self._remove(key)

    def _remove(self, key: str) -> None:
        """Takes a parent out of the pool; the last of its users ends it."""
        parent = self._parents.pop(key, None)
        if parent is not None and parent.users == 0:
            self._discard(parent)


async def _check_revision(settings: ParseSettings) -> None:
    if not settings.changeable or settings.revision is None:
        return
    try:
        revision = await asyncio.to_thread(content_revision, Path(settings.project_dir))
    except OSError as error:
        revision = f"none that can be read ({error})"
    if revision != settings.revision:
        raise DbtTemporalError(
            ErrorType.PROJECT_NOT_FOUND,
            f"revision {settings.revision} is not in {settings.project_dir} any more: its files were edited, and their "
            f"revision is {revision} now; undo that, or start the run again",
            retryable=True,  # another worker may have it
        )


async def _end(parent: ParentHandle) -> None:
    await parent.process.channel.close()
    await asyncio.to_thread(shutil.rmtree, parent.folder, True)
