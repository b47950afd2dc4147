"""The engine on dbt-core: projects are parsed by parent processes, runs are executed by their forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.dbt_core.hosts.outcomes import Outcomes
from dbt_temporal.adapters.dbt_core.hosts.pool import HostPool
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.parents.pool import DepsMode, ParentPool
from dbt_temporal.adapters.dbt_core.parents.shared import SharedParses
from dbt_temporal.adapters.dbt_core.run import DbtCoreRun
from dbt_temporal.adapters.dbt_core.template import Template
from dbt_temporal.adapters.earlier_runs import RetriedRuns
from dbt_temporal.application.ports.engine import LoadedProject, ProjectLocation
from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.application.ports.telemetry import Telemetry
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.secrets.own_variables import without_own_secrets

DEFAULT_CANCEL_SECS = 30.0


class DbtCoreEngine:
    """Implements `DbtEngine` with dbt-core of the interpreter `python`.

    Args:
        cache_dir: everything that dbt writes goes below it; nothing is written into projects.
        python: the interpreter that has dbt; by default the worker's own.
        environ: the environment that runs see below their own overrides; by default the worker's.
        limits: how many processes, how long idle, how large.
        cancel_secs: a node that does not end within that time after its cancellation is ended with its host.
        deps: DBT_DEPS: when packages are installed into a private folder.
        references: fetches what a run refers to by URL; without it, only paths are taken.
        telemetry: hears of parsed projects and of hosts.
        shared: parses that workers share; None where none are.
        template: a process of this interpreter and environment that imports dbt already; the engine ends it.
        keeps_sql: whether records have what nodes send to the database, without which `artifacts` has none of it.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        python: str = sys.executable,
        environ: Mapping[str, str] | None = None,
        limits: EngineLimits | None = None,
        cancel_secs: float = DEFAULT_CANCEL_SECS,
        deps: DepsMode = "auto",
        references: ArtifactReferences | None = None,
        telemetry: Telemetry | None = None,
        shared: SharedParses | None = None,
        template: Template | None = None,
        keeps_sql: bool = True,
    ) -> None:
        own_environ = without_own_secrets(os.environ if environ is None else environ)
        cache_dir = cache_dir.absolute()
        private_copies.mark_cache(cache_dir)
        self._leaving = contextlib.ExitStack()
        # Those of workers that were killed go when the next one comes.
        work_dir = self._leaving.enter_context(private_copies.unfinished_copy(cache_dir / "workers"))
        private_copies.remove_unused(cache_dir / "workers")
        limits = limits or EngineLimits()
        self._template = template or Template(python, own_environ)
        self._template.preparation = {"shortcuts": limits.shortcuts, "schemas": str(cache_dir / "schemas")}
        self._parents = ParentPool(self._template, own_environ, cache_dir, work_dir, limits, deps, telemetry, shared)
        self._hosts = HostPool(self._parents, work_dir, limits, references, telemetry)
        self._retried = RetriedRuns(references, work_dir / "runs")
        self._outcomes = Outcomes(cache_dir / "outcomes")
        self._cancel_secs = cancel_secs
        self._keeps_sql = keeps_sql

    async def prepare(self) -> None:
        """See `DbtEngine`. Starts the process that imports dbt."""
        await self._template.start()

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        async with self._parents.using(ParseSettings.of(location)) as parent:
            facts = parent.facts
        return LoadedProject(
            name=facts["name"],
            location=location,
            adapter_type=facts["adapter_type"],
            target=facts["target"],
            threads=facts["threads"],
            dbt_version=facts["dbt_version"],
            counts=facts["counts"],
            load_seconds=facts["load_seconds"],
        )

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> DbtCoreRun:
        unresolved = [f"env.{key}" for key, value in invocation.input.env.items() if not isinstance(value, str)]
        if unresolved:
            raise configuration_error(f"references that nothing resolved: {', '.join(unresolved)}")
        return DbtCoreRun(
            self._hosts, self._retried, self._outcomes, location, invocation, self._cancel_secs, self._keeps_sql
        )

    async def ping(self) -> None:
        """See `DbtEngine`. Asks the process that all others come from."""
        await self._template.ping()

    async def end_run(self, invocation_id: str) -> None:
        await self._hosts.end_run(invocation_id)
        self._parents.forget(invocation_id)
        await asyncio.to_thread(self._outcomes.forget, invocation_id)

    async def close(self) -> None:
        await self._hosts.close()
        await self._parents.close()
        await self._template.close()
        await asyncio.to_thread(self._leaving.close)
