"""Project parents, one per parse key: loaded once, kept for the next run, evicted when unused and too many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from dbt_temporal.adapters.dbt_core.keyed_locks import KeyedLocks
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_core.parents.fingerprint import changed
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings, flags_digest
from dbt_temporal.adapters.dbt_core.parents.shared import SharedParses
from dbt_temporal.adapters.dbt_core.template import ForkedProcess, Forker, Template
from dbt_temporal.adapters.project_files import PROFILES_FILE, content_revision
from dbt_temporal.application.ports.telemetry import NoTelemetry, ProjectParsed, Telemetry
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

DepsMode = Literal["auto", "always", "never"]
"""When packages are installed into a private folder: where the project's own one lacks some, in any case, or never."""
_REMEMBERED_RUNS = 1000

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class ParentHandle:
    """A loaded parent as the worker sees it.

    Attributes:
        key: of its parse settings.
        facts: what it says of the project.
        folder: what its dbt writes.
        watched: states of the files and folders that dbt read, and that the revision says nothing of.
        began: when it began to load, by the monotonic clock.
        kept_secs: how long after that runs may begin with it.
        flags: stands for the values, in the run that it was parsed for, of the flags that parsing reads.
        memory_bytes: what it held of its own when it was loaded.
        users: how many hosts and callers need it.
    """

    key: str
    process: ForkedProcess
    forker: Forker
    facts: Mapping[str, Any]
    folder: Path
    watched: Mapping[str, str]
    began: float
    kept_secs: float
    flags: str
    memory_bytes: int = 0
    users: int = 0

    @property
    def alive(self) -> bool:
        return self.process.channel.alive

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
        shared: SharedParses | None = None,
    ) -> None:
        self._shared = shared
        self._template = template
        self._environ = environ
        self._cache_dir = cache_dir
        self._work_dir = work_dir
        self._limits = limits
        self._deps = deps
        self._telemetry = telemetry or NoTelemetry()
        # With `always`, packages are installed anew once in the life of a worker; all its parses share them.
        self._install = uuid4().hex if deps == "always" else ""
        self._parents: list[ParentHandle] = []  # the one that was used last comes last
        self._of_runs: OrderedDict[tuple[str, str], ParentHandle] = OrderedDict()  # by invocation and parse key
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

    async def acquire(self, settings: ParseSettings, run: DbtInvocation | None = None) -> ParentHandle:
        """A loaded parent, which the caller must `release`. Callers for one key wait for one load.

        Args:
            settings: what is parsed.
            run: the run that it is for: it keeps to the parse that it began with.

        Raises:
            DbtTemporalError: ProjectNotFound, where that parse is lost, and would not be the same again.
        """
        since = time.monotonic()
        async with self._loading.holding(settings.key):
            parent = await self._kept(settings, run, since)
            if parent is None:
                parent = await self.load(settings, run)
                parent.users += 1
            else:
                self._parents.remove(parent)
            self._parents.append(parent)
            self._remember(run, parent)
        self._evict()
        return parent

    async def _kept(self, settings: ParseSettings, run: DbtInvocation | None, since: float) -> ParentHandle | None:
        """The parent to use, counted as used; None where there must be another."""
        own = self._of_run(run, settings)
        if own is not None and own in self._parents and own.alive:
            own.users += 1
            return own
        await _check_parse(settings, own)
        for parent in reversed([parent for parent in self._parents if parent.key == settings.key]):
            too_old = since - parent.began > parent.kept_secs
            if not parent.alive or (too_old and parent.users == 0 and parent not in self._of_runs.values()):
                self._remove(parent)
            elif not too_old and parent.flags == _flags_of(run, parent.facts):
                parent.users += 1
                try:
                    edited = await asyncio.to_thread(changed, parent.watched)
                except BaseException:
                    self.release(parent)
                    raise
                if edited is None:
                    return parent
                self.release(parent)
        return None

    def _of_run(self, run: DbtInvocation | None, settings: ParseSettings) -> ParentHandle | None:
        return self._of_runs.get((run.invocation_id, settings.key)) if run else None

    def _remember(self, run: DbtInvocation | None, parent: ParentHandle) -> None:
        if run is not None:
            self._of_runs[run.invocation_id, parent.key] = parent
            while len(self._of_runs) > _REMEMBERED_RUNS:
                self._of_runs.popitem(last=False)

    def forget(self, invocation_id: str) -> None:
        """Says that a run has ended."""
        for key in [key for key in self._of_runs if key[0] == invocation_id]:
            del self._of_runs[key]

    def release(self, parent: ParentHandle) -> None:
        """Says that a caller needs the parent no more. Never waits, so that nobody is cancelled halfway."""
        parent.users -= 1
        if parent.users == 0 and parent not in self._parents:
            self._discard(parent)
        self._evict()

    async def load(self, settings: ParseSettings, run: DbtInvocation | None = None) -> ParentHandle:
        """A parent of the caller's own, outside of the pool.

        Raises:
            DbtTemporalError: ProjectNotFound, where the files are not, or no longer, those of the revision, or those
                that the run began with.
        """
        own = self._of_run(run, settings)
        async with self._parsing:
            await _check_files(settings, own)
            try:
                parent = await self._load(settings, run)
            except DbtTemporalError:
                await _check_files(settings, own)  # dbt may have missed what was edited under its hands
                raise
            try:
                await _check_files(settings, own)
            except BaseException:
                self._discard(parent)
                raise
            self._offer(parent)
            return parent

    def _offer(self, parent: ParentHandle) -> None:
        """Has other workers take over what was parsed, if it is good for them."""
        header = parent.facts["shared"]
        if self._shared is not None and header is not None:
            file = parent.folder / parent.facts["partial_parse"]
            self._shared.offer(parent.facts["name"], header, file, self._work_dir / "shared")

    async def _load(self, settings: ParseSettings, run: DbtInvocation | None) -> ParentHandle:
        began = time.monotonic()
        folder = self._work_dir / "parents" / uuid4().hex
        parsed = self._cache_dir / "parsed"
        for path in (folder, parsed):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        process, forker = await self._template.fork_parent()
        # What a worker parses when it starts is what the next one will; a run's parse is its own.
        shared = self._shared if run is None and not settings.env else None
        if shared is not None:
            forker.on_event = shared.answers(process.channel)
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
                covered=settings.covered,
                cache_dir=str(self._cache_dir),
                run=run and run.model_dump(mode="json"),
                share=shared is not None,
            )
            memory = await asyncio.to_thread(process.memory_bytes)
        except BaseException:
            process.kill()  # it may be amid parsing, and would not hear of its end
            await process.channel.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        logger.info("project %s: %s", facts["name"], facts["parsed"])
        if shared is None:
            facts["shared"] = None
        self._telemetry.record(ProjectParsed(facts["name"], facts["load_seconds"], "dbt-core", facts["dbt_version"]))
        kept_secs = self._limits.asking_parse_secs if facts["asked_others"] else math.inf
        if facts["for_one_run"]:
            kept_secs = 0.0
        watched = facts.pop("watched")
        flags = _flags_of(run, facts)
        return ParentHandle(settings.key, process, forker, facts, folder, watched, began, kept_secs, flags, memory)

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()
        for parent in self._parents:
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
        for parent in self._parents[:-1]:  # what was used last is most likely to be used next
            memory = sum(parent.memory_bytes for parent in self._parents)
            if len(self._parents) <= self._limits.max_projects and memory <= self._limits.projects_memory_bytes:
                break
            if parent.users == 0:
                self._remove(parent)

    def _remove(self, parent: ParentHandle) -> None:
        """Takes a parent out of the pool; the last of its users ends it."""
        self._parents.remove(parent)
        if parent.users == 0:
            self._discard(parent)


def _flags_of(run: DbtInvocation | None, facts: Mapping[str, Any]) -> str:
    return flags_digest(run.input if run else DbtRunInput(), facts["flags"])


async def _check_files(settings: ParseSettings, own: ParentHandle | None) -> None:
    """Sees to it that what is parsed now is the revision, and what a run of that parse began with."""
    if settings.covered == "sources":
        await _check_revision(settings)
    await _check_parse(settings, own)


async def _check_parse(settings: ParseSettings, own: ParentHandle | None) -> None:
    if own is None:
        return
    # A password may be another by now, and the old one of no use.
    code = {path: state for path, state in own.watched.items() if os.path.basename(path) != PROFILES_FILE}
    edited = await asyncio.to_thread(changed, code)
    if edited is not None:
        raise _not_found(f"{edited}, which belongs to the project in {settings.project_dir}, was edited")


async def _check_revision(settings: ParseSettings) -> None:
    try:
        revision = await asyncio.to_thread(content_revision, Path(settings.project_dir))
    except OSError as error:
        revision = f"none that can be read ({error})"
    if revision != settings.revision:
        raise _not_found(
            f"revision {settings.revision} is not in {settings.project_dir} any more: its files were edited, and their "
            f"revision is {revision} now"
        )


def _not_found(what: str) -> DbtTemporalError:
    message = f"{what}; undo that, or start the run again"
    return DbtTemporalError(ErrorType.PROJECT_NOT_FOUND, message, retryable=True)  # another worker may have it


async def _end(parent: ParentHandle) -> None:
    await parent.process.channel.close()
    await asyncio.to_thread(shutil.rmtree, parent.folder, True)
