"""How a run host is made: a fork of its project's parent, with what the run refers to, that has opened the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle, HostKey
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.parents.pool import ParentPool
from dbt_temporal.adapters.dbt_core.wire import PARSED_MANIFEST
from dbt_temporal.application.log_context import log_fields
from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.invocation import DbtInvocation

_ABANDONED_SECS = 3600.0
_REFERENCES = {
    "state_manifest_ref": "state",
    "sources_ref": "target",
    "defer_manifest_ref": "defer",
    "retry_from": "retry",
}
"""Fields that name artifacts of earlier runs, and the folder of each in that of the run."""


class HostOpener:
    """Opens hosts and ends them, and keeps the folders of their runs, below `work_dir`."""

    def __init__(self, parents: ParentPool, work_dir: Path, references: ArtifactReferences | None) -> None:
        self._parents = parents
        self._runs = work_dir / "runs"
        self._references = references

    async def open(self, settings: ParseSettings, invocation: DbtInvocation) -> HostHandle:
        host = await self._fork(settings, invocation)
        run_dir = self._runs / invocation.invocation_id / settings.key
        try:
            await host.process.channel.request(
                "open",
                invocation=invocation.model_dump(mode="json"),
                run_dir=str(run_dir),
                local_references=await self._local_references(invocation, run_dir),
            )
        except BaseException as error:
            await self.end(host)
            if isinstance(error, DbtTemporalError) and (run_dir / PARSED_MANIFEST).is_file():
                error.manifest = run_dir / PARSED_MANIFEST
            raise
        return host

    @contextlib.contextmanager
    def references_by_name(self, settings: ParseSettings, invocation: DbtInvocation) -> Iterator[None]:
        """Errors within the block name artifacts of earlier runs by what the input says, not by their copies."""
        try:
            yield
        except DbtTemporalError as error:
            run_dir = self._runs / invocation.invocation_id / settings.key
            message = _with_references(error.message, invocation, run_dir)
            if message == error.message:
                raise
            raise error.saying(message) from error

    async def end(self, host: HostHandle) -> None:
        """Ends a host and waits for it; its parent may then be evicted."""
        try:
            await host.process.end()
        finally:
            self._parents.release(host.parent)

    async def remove_run(self, invocation_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._runs / invocation_id, True)

    async def remove_files(self, key: HostKey) -> None:
        run_dir = self._runs / key[0]
        await asyncio.to_thread(shutil.rmtree, run_dir / key[1], True)
        with contextlib.suppress(OSError):  # there may be artifacts, and files of hosts with another environment
            run_dir.rmdir()

    async def remove_abandoned(self, with_hosts: Collection[str]) -> None:
        """Removes files of runs that have had no host here for a while; artifacts outlast hosts, to be uploaded."""
        await asyncio.to_thread(self._remove_abandoned, with_hosts)

    def _remove_abandoned(self, with_hosts: Collection[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._runs):
                if entry.name not in with_hosts and time.time() - entry.stat().st_mtime > _ABANDONED_SECS:
                    shutil.rmtree(entry.path, ignore_errors=True)

    async def _fork(self, settings: ParseSettings, invocation: DbtInvocation) -> HostHandle:
        parent = await self._parents.acquire(settings, invocation)
        if not parent.forkable:
            self._parents.release(parent)
            parent = await self._parents.load(settings, invocation)
            parent.users = 1
        try:
            with log_fields(invocation_id=invocation.invocation_id, project=invocation.project):
                op = "fork_host" if parent.forkable else "become_host"
                process = await parent.forker.fork_host(op)
            if not parent.forkable:
                process.exited = parent.process.exited  # it is the same process, which the template has forked
        except BaseException:
            self._parents.release(parent)
            raise
        return HostHandle(process, parent, settings, invocation)

    async def _local_references(self, invocation: DbtInvocation, run_dir: Path) -> dict[str, str]:
        """Copies on this machine of the artifacts of earlier runs that the invocation names, by its fields."""
        local: dict[str, str] = {}
        if self._references is None:
            return local
        for name in _REFERENCES:
            reference = getattr(invocation.input, name)
            if reference:
                local[name] = await self._references.fetch(name, reference, run_dir / "references" / name)
        return local


def _with_references(message: str, invocation: DbtInvocation, run_dir: Path) -> str:
    for field, folder in _REFERENCES.items():
        reference = getattr(invocation.input, field)
        if reference:
            place = posixpath.dirname(reference) if reference.endswith(".json") else reference.rstrip("/")
            for private in (run_dir / "references" / field, run_dir / folder):
                message = message.replace(str(private), place)
    return message
