"""Project parents, one per parse key: loaded once, kept for the next run, evicted when unused and too many."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from dbt_temporal.adapters.dbt_core.fingerprint import fingerprint
from dbt_temporal.adapters.dbt_core.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.template import ForkedProcess, Forker, Template
from dbt_temporal.application.ports.telemetry import NoTelemetry, ProjectParsed, Telemetry

DepsMode = Literal["auto", "always", "never"]
"""When packages are installed into a private folder: where the project's own one lacks some, in any case, or never."""


@dataclass
class ProjectParent:
    """A loaded parent.

    Attributes:
        process: the process and the channel to it.
        forker: forks hosts from it.
        facts: what it says of the project.
        folder: what its dbt writes.
        users: how many hosts and callers need it.
    """

    process: ForkedProcess
    forker: Forker
    facts: Mapping[str, Any]
    folder: Path
    users: int = 0

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return not self.process.channel.closed.is_set()

    @property
    def forkable(self) -> bool:
        """Whether hosts may be forked from it, or must load the project themselves."""
        return bool(self.facts["forkable"])


@dataclass
class _Loading:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class ParentPool:
    """Finds or makes the parent of a parse key."""

    def __init__(
        self,
        template: Template,
        environ: Mapping[str, str],
        cache_dir: Path,
        max_parents: int,
        deps: DepsMode = "auto",
        telemetry: Telemetry | None = None,
    ) -> None:
        self._template = template
        self._environ = environ
        self._cache_dir = cache_dir
        self._max_parents = max_parents
        self._deps = deps
        self._telemetry = telemetry or NoTelemetry()
        # With `always`, packages are installed anew once in the life of a worker; all its parses share them.
        self._install = uuid4().hex if deps == "always" else ""
        self._parents: OrderedDict[str, ProjectParent] = OrderedDict()
        self._loading: dict[str, _Loading] = {}
        # A parse keeps a core busy: more at once would only make each of them, and the nodes beside them, later.
        self._parsing = asyncio.Semaphore(os.cpu_count() or 1)

    @contextlib.asynccontextmanager
    async def using(self, settings: ParseSettings) -> AsyncIterator[ProjectParent]:
        """A loaded parent that is not evicted meanwhile."""
        parent = await self.acquire(settings)
        try:
            yield parent
        finally:
            await self.release(parent)

    async def acquire(self, settings: ParseSettings) -> ProjectParent:
        """A loaded parent, which the caller must `release`. Callers for one key wait for one load."""
        key = settings.key
        if settings.changeable:
            key = f"{key}-{await asyncio.to_thread(fingerprint, settings.project_dir, settings.profiles_dir)}"
        async with self._one_at_a_time(key):
            parent = self._parents.get(key)
            if parent is None or not parent.alive:
                parent = await self.load(settings)
                self._parents[key] = parent
            self._parents.move_to_end(key)
            parent.users += 1
        await self._evict()
        return parent

    async def release(self, parent: ProjectParent) -> None:
        """Says that a caller needs the parent no more."""
        parent.users -= 1
        if parent.users == 0 and parent not in self._parents.values():
            await self.discard(parent)
        await self._evict()

    async def load(self, settings: ParseSettings) -> ProjectParent:
        """A parent of the caller's own, outside of the pool."""
        async with self._parsing:
            return await self._load(settings)

    async def _load(self, settings: ParseSettings) -> ProjectParent:
        folder = self._cache_dir / "parents" / uuid4().hex
        parsed = self._cache_dir / "parsed"
        for needed in (folder, parsed):
            needed.mkdir(parents=True, exist_ok=True, mode=0o700)
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
        except BaseException:
            process.kill()  # it may be amid parsing, and would not hear of its end
            await process.channel.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._telemetry.record(ProjectParsed(facts["name"], facts["load_seconds"]))
        return ProjectParent(process, forker, facts, folder)

    async def discard(self, parent: ProjectParent) -> None:
        """Ends a parent."""
        await parent.process.channel.close()
        await asyncio.to_thread(shutil.rmtree, parent.folder, True)

    async def close(self) -> None:
        """Ends all parents."""
        parents = list(self._parents.values())
        self._parents.clear()
        for parent in parents:
            await self.discard(parent)

    @contextlib.asynccontextmanager
    async def _one_at_a_time(self, key: str) -> AsyncIterator[None]:
        loading = self._loading.setdefault(key, _Loading())
        loading.waiting += 1
        try:
            async with loading.lock:
                yield
        finally:
            loading.waiting -= 1
            if loading.waiting == 0:
                self._loading.pop(key, None)

    async def _evict(self) -> None:
        unused = [key for key, parent in self._parents.items() if parent.users == 0]
        for key in unused[: max(0, len(self._parents) - self._max_parents)]:
            parent = self._parents.pop(key)
            await self.discard(parent)
