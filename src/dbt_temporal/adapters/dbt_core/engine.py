"""The engine on dbt-core: projects are parsed by parent processes, runs are executed by their forks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.dbt_core.hosts.pool import HostPool, RunHost
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.parents.pool import DepsMode, ParentPool
from dbt_temporal.adapters.dbt_core.template import Template
from dbt_temporal.adapters.environment import OWN_SECRETS
from dbt_temporal.application.ports.engine import (
    CompletedNode,
    EnginePlan,
    LoadedProject,
    NodeErrorClass,
    NodeOutcome,
    Progress,
    ProjectLocation,
)
from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.application.ports.telemetry import Telemetry
from dbt_temporal.application.shielding import shielded
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.run.plan import ExecutionPlan

logger = logging.getLogger("dbt_temporal.engine")

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
    ) -> None:
        given = os.environ if environ is None else environ
        own_environ = {key: value for key, value in given.items() if key not in OWN_SECRETS}
        cache_dir = cache_dir.absolute()
        self._leaving = contextlib.ExitStack()
        # Those of workers that were killed go when the next one comes.
        work_dir = self._leaving.enter_context(private_copies.unfinished_copy(cache_dir / "workers"))
        private_copies.remove_unused(cache_dir / "workers")
        self._template = Template(python, own_environ)
        limits = limits or EngineLimits()
        self._parents = ParentPool(self._template, own_environ, cache_dir, work_dir, limits, deps, telemetry)
        self._hosts = HostPool(self._parents, work_dir, limits, references, telemetry)
        self._cancel_secs = cancel_secs

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        """See `DbtEngine`."""
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

    async def plan(self, location: ProjectLocation, invocation: DbtInvocation) -> EnginePlan:
        """See `DbtEngine`."""
        async with self._host(location, invocation) as host:
            answer = await host.process.channel.request("plan")
            facts = host.parent.facts
        return EnginePlan(
            plan=ExecutionPlan.model_validate(answer["plan"]),
            target=facts["target"],
            threads=facts["threads"],
            dbt_version=facts["dbt_version"],
            adapter_type=facts["adapter_type"],
            counts=facts["counts"],
            skip_nodes_if_on_run_start_fails=answer["skip_nodes_if_on_run_start_fails"],
        )

    async def before_run(
        self, location: ProjectLocation, invocation: DbtInvocation, progress: Progress
    ) -> list[NodeOutcome]:
        """See `DbtEngine`."""
        async with self._host(location, invocation) as host:
            answers = await self._run_statements(host, progress, "before_run")
        return [_outcome(answer) for answer in answers]

    async def execute_node(
        self, location: ProjectLocation, invocation: DbtInvocation, unique_id: str, progress: Progress
    ) -> NodeOutcome:
        """See `DbtEngine`."""
        async with self._host(location, invocation) as host:
            return _outcome(await self._run_statements(host, progress, "execute", unique_id=unique_id))

    async def end_session(self, location: ProjectLocation, invocation: DbtInvocation, facts: Mapping[str, Any]) -> None:
        """See `DbtEngine`."""
        sessions = facts.get("sessions")
        if sessions:
            async with self._host(location, invocation) as host:
                await host.process.channel.request("end_sessions", sessions=sessions)

    async def after_run(
        self, location: ProjectLocation, invocation: DbtInvocation, results: list[CompletedNode], progress: Progress
    ) -> list[NodeOutcome]:
        """See `DbtEngine`."""
        sent = [_sent(item) for item in results]
        async with self._host(location, invocation) as host:
            answers = await self._run_statements(host, progress, "after_run", results=sent)
        return [_outcome(answer) for answer in answers]

    async def artifacts(
        self,
        location: ProjectLocation,
        invocation: DbtInvocation,
        results: list[CompletedNode],
        elapsed_time: float,
        *,
        with_catalog: bool = False,
    ) -> Mapping[str, bytes]:
        """See `DbtEngine`."""
        async with self._host(location, invocation) as host:
            files: dict[str, str] = await host.process.channel.request(
                "artifacts",
                results=[_sent(item) for item in results],
                elapsed_time=elapsed_time,
                with_catalog=with_catalog,
            )
        return {name: text.encode() for name, text in files.items()}

    async def ping(self) -> None:
        """See `DbtEngine`. Asks the process that all others come from."""
        await self._template.ping()

    async def end_run(self, invocation: DbtInvocation) -> None:
        """See `DbtEngine`."""
        await self._hosts.end_run(invocation.invocation_id)

    async def close(self) -> None:
        """See `DbtEngine`."""
        await self._hosts.close()
        await self._parents.close()
        await self._template.close()
        await asyncio.to_thread(self._leaving.close)

    def _host(
        self, location: ProjectLocation, invocation: DbtInvocation
    ) -> contextlib.AbstractAsyncContextManager[RunHost]:
        run_input = invocation.input
        env = {key: value for key, value in run_input.env.items() if isinstance(value, str)}
        if len(env) != len(run_input.env):
            raise configuration_error("env: references must be resolved before they reach the engine")
        settings = ParseSettings.of(location, run_input.target, run_input.vars, env)
        return self._hosts.using(settings, invocation)

    async def _run_statements(self, host: RunHost, progress: Progress, op: str, **fields: Any) -> Any:
        """Makes a request that is cancelled with the task that awaits it, and tells of its sessions in the database."""

        def hear(message: dict[str, Any]) -> None:
            host.sessions[request_id] = message["sessions"]
            progress({"sessions": message["sessions"]})

        progress({"host_pid": host.process.pid})
        request_id, future = host.process.channel.start(op, progress=hear, **fields)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await shielded(self._cancel(host, request_id, future))
            raise
        except DbtTemporalError:
            # The failure is told when nothing of the attempt runs any more, here or in the database.
            await shielded(self._clean_up(host))
            raise
        finally:
            host.sessions.pop(request_id, None)

    async def _cancel(self, host: RunHost, request_id: int, future: asyncio.Future[Any]) -> None:
        """Cancels the request's statements and waits for its end, by force if need be."""
        host.process.channel.notify("cancel", target=request_id)
        done, _ = await asyncio.wait([future], timeout=self._cancel_secs)
        if not done:
            host.kill()
            await asyncio.wait([future], timeout=self._cancel_secs)
        with contextlib.suppress(DbtTemporalError, asyncio.CancelledError):
            future.result()
        await self._clean_up(host)

    async def _clean_up(self, host: RunHost) -> None:
        if host.alive:
            return
        try:
            await self._hosts.clean_up_after(host)
        except DbtTemporalError as error:
            logger.warning("database sessions of a process that died could not be ended yet: %s", error.message)


def _outcome(answer: dict[str, Any]) -> NodeOutcome:
    error = answer["error"]
    return NodeOutcome(
        result=NodeExecutionResult.model_validate(answer["result"]),
        error=NodeErrorClass(error[0], error[1]) if error else None,
        record=answer["record"].encode(),
        log=answer["log"],
    )


def _sent(item: CompletedNode) -> dict[str, Any]:
    return {"result": item.result.model_dump(mode="json"), "record": item.record.decode()}
