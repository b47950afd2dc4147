"""One run on dbt-core: what is asked of it, its host answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dbt_temporal.adapters.dbt_core.hosts.answers import (
    graph_from,
    lineage_from,
    lost_database,
    outcome_from,
    prepared_from,
    sent_result,
    state_from,
)
from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle, this_worker
from dbt_temporal.adapters.dbt_core.hosts.outcomes import Outcomes, read_outcome
from dbt_temporal.adapters.dbt_core.hosts.pool import HostPool
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.earlier_runs import RetriedRuns
from dbt_temporal.application.ports.engine import (
    CompletedNode,
    EnginePlan,
    NodeOutcome,
    Prepared,
    Progress,
    ProjectLocation,
    ReadState,
    StatePart,
)
from dbt_temporal.application.shielding import shielded
from dbt_temporal.domain.batches import BatchPart, step_name
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.leases.messages import Lease, LeasePer
from dbt_temporal.domain.lineage.model import LineageGraph
from dbt_temporal.domain.report.model import RunGraph
from dbt_temporal.domain.results import NodeStatus
from dbt_temporal.domain.run.invocation import DbtInvocation, LostWork
from dbt_temporal.domain.run.plan import EphemeralTurn, ExecutionPlan

logger = logging.getLogger("dbt_temporal.engine")

BEFORE_RUN, AFTER_RUN = "before_run", "after_run"


class DbtCoreRun:
    """Implements `EngineRun` by a run host, which is made by the first request that needs it.

    A request that does not end within `cancel_secs` after its cancellation is ended with its host.
    """

    def __init__(
        self,
        hosts: HostPool,
        retried: RetriedRuns,
        outcomes: Outcomes,
        location: ProjectLocation,
        invocation: DbtInvocation,
        cancel_secs: float,
        keeps_sql: bool,
    ) -> None:
        self._hosts = hosts
        self._retried = retried
        self._outcomes = outcomes
        self._location = location
        self._invocation = invocation
        self._cancel_secs = cancel_secs
        self._keeps_sql = keeps_sql
        self._read_state: ReadState = _no_state
        self._without: Collection[str] = ()

    async def plan(self) -> EnginePlan:
        self._invocation = await self._retried.completed(self._invocation, self._location.project_dir)
        async with self._host() as host:
            answer = await host.process.channel.request("plan")
            facts = host.parent.facts
        return EnginePlan(
            plan=ExecutionPlan.model_validate(answer["plan"]),
            target=facts["target"],
            threads=answer["threads"],
            dbt_version=facts["dbt_version"],
            adapter_type=facts["adapter_type"],
            counts=facts["counts"],
            fail_fast=answer["fail_fast"],
            ends_on_error=answer["ends_on_error"],
            nothing_to_do=answer["nothing_to_do"],
            ephemerals={name: EphemeralTurn.model_validate(turn) for name, turn in answer["ephemerals"].items()},
            taken_over=self._invocation.what_was_taken_over,
            unrepeatable=frozenset(answer["unrepeatable"]),
            messages=answer["messages"],
        )

    async def lease(self, per: LeasePer, unique_ids: Collection[str]) -> Lease | None:
        async with self._host() as host:
            answer = await host.process.channel.request("lease", per=per, nodes=list(unique_ids))
        return None if answer is None else Lease.model_validate(answer)

    async def before_run(self, progress: Progress, attempt: int = 1, lost: LostWork | None = None) -> Prepared:
        del lost  # nothing runs ahead
        place = self._begin(BEFORE_RUN, attempt)
        async with self._host() as host:
            answer = await self._run_statements(
                host,
                progress,
                "before_run",
                self._owner(BEFORE_RUN, attempt, whole_run=True),
                outcome=str(place),
                holder={"worker": this_worker(), "process": host.name},
            )
            host.has_prepared(answer)
        return prepared_from(answer)

    async def outcome_of_before_run(self, attempt: int) -> Prepared | None:
        answer = await self._left_by(BEFORE_RUN, attempt, self._owner(BEFORE_RUN, whole_run=True))
        if answer is not None:
            for host in self._hosts.hosts_of(self._invocation.invocation_id):
                if host.name == answer["host"]:  # whoever asked it has not heard its answer
                    host.has_prepared(answer)
        return None if answer is None else prepared_from(answer)

    async def use_state(self, read: ReadState, without: Collection[str] = ()) -> None:
        self._read_state, self._without = read, without

    async def resume(
        self, progress: Progress, ended: Mapping[str, NodeStatus] = MappingProxyType({}), lost: LostWork | None = None
    ) -> Prepared:
        del ended, lost  # the processes have nothing of nodes that later ones need
        async with self._host_with_all() as host:
            progress({"host_pid": host.process.pid})
            # Asked again where an answer was lost.
            state = await self._take_over(host) if self._invocation.keeps_state else None
            return Prepared(database=self._invocation.database, state=state, worker=this_worker())

    async def execute_node(
        self,
        unique_id: str,
        progress: Progress,
        ephemerals: Sequence[str] = (),
        part: BatchPart | None = None,
        attempt: int = 1,
        *,
        behind_failure: bool = False,
        again: bool = True,
    ) -> NodeOutcome:
        del behind_failure, again  # it runs nothing ahead
        step = step_name(unique_id, part)
        place = self._begin(step, attempt)
        async with self._host_with_all(for_node=True) as host:
            answer = await self._run_statements(
                host,
                progress,
                "execute",
                self._owner(step, attempt),
                unique_id=unique_id,
                ephemerals=list(ephemerals),
                part=part and part.model_dump(mode="json"),
                outcome=str(place),
                again=attempt > 1 or self._invocation.goes_on,
                shares=self._hosts.shares(host),
                keeps_sql=self._keeps_sql,
            )
            return outcome_from(answer)

    async def outcome_of(self, unique_id: str, attempt: int, part: BatchPart | None = None) -> NodeOutcome | None:
        step = step_name(unique_id, part)
        answer = await self._left_by(step, attempt, self._owner(step))
        if answer is None:
            return None
        outcome = outcome_from(answer)
        # One that is worth another attempt has it here.
        return None if outcome.error is not None and outcome.error.retryable else outcome

    async def after_run(self, results: list[CompletedNode], progress: Progress, attempt: int = 1) -> list[NodeOutcome]:
        place = self._begin(AFTER_RUN, attempt)
        async with self._host_with_all() as host:
            answer = await self._run_statements(
                host,
                progress,
                "after_run",
                self._owner(AFTER_RUN, attempt, whole_run=True),
                outcome=str(place),
                results=[sent_result(item) for item in results],
            )
        return [outcome_from(hook) for hook in answer["hooks"]]

    async def outcome_of_after_run(self, attempt: int) -> list[NodeOutcome] | None:
        answer = await self._left_by(AFTER_RUN, attempt, self._owner(AFTER_RUN, whole_run=True))
        return None if answer is None else [outcome_from(hook) for hook in answer["hooks"]]

    async def artifacts(
        self, results: list[CompletedNode], elapsed_time: float, *, with_catalog: bool = False, with_sql: bool = False
    ) -> Mapping[str, Path]:
        async with self._host() as host:
            # Artifacts are made without the database where that is another host's: from records, and without a catalog.
            with_database = self._has_database(host)
            files: dict[str, str] = await host.process.channel.request(
                "artifacts",
                results=[sent_result(item) for item in results],
                elapsed_time=elapsed_time,
                with_database=with_database,
                with_catalog=with_catalog and with_database,
                with_sql=with_sql,
            )
        return {name: Path(place) for name, place in files.items()}

    async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
        async with self._host() as host:
            answer = await host.process.channel.request("graph", with_code=list(with_code))
        return graph_from(answer)

    async def lineage(self) -> LineageGraph:
        async with self._host() as host:
            return lineage_from(await host.process.channel.request("lineage"))

    async def failed_ephemerals(self) -> frozenset[str]:
        async with self._host() as host:
            return frozenset(await host.process.channel.request("failed_ephemerals"))

    def _begin(self, step: str, attempt: int) -> Path:
        """Where an attempt that begins now leaves how it ended."""
        place = self._outcomes.place(self._invocation.invocation_id, step, attempt)
        self._outcomes.begin(place)
        return place

    async def _left_by(self, step: str, attempt: int, owner: dict[str, Any]) -> dict[str, Any] | None:
        """How an attempt ended, by its host's word; None where nothing is known. What still runs of it is ended."""
        place = self._outcomes.place(self._invocation.invocation_id, step, attempt)
        async with self._host() as host:
            await host.process.channel.request("end_sessions", owner=owner)
        for host in self._hosts.hosts_of(self._invocation.invocation_id):
            under_way = host.attempts.get(place)
            if under_way is not None:  # Temporal has given it up before this worker has heard of that
                await self._cancel(host, *under_way)
        try:
            return await asyncio.to_thread(read_outcome, place)
        except (OSError, ValueError) as error:
            logger.warning("how attempt %d at %s ended cannot be read: %s", attempt, step, error)
            return None

    def _host(self, *, for_node: bool = False) -> contextlib.AbstractAsyncContextManager[HostHandle]:
        run_input = self._invocation.input
        env = {key: str(value) for key, value in run_input.env.items()}
        settings = ParseSettings.of(self._location, run_input.target, run_input.vars, env)
        using = self._hosts.using_any if for_node else self._hosts.using
        return using(settings, self._invocation)

    @contextlib.asynccontextmanager
    async def _host_with_all(self, *, for_node: bool = False) -> AsyncIterator[HostHandle]:
        """The host, if it may run statements, with what the run has left in others.

        One without the run's database may not: it would begin with an empty one, and lose the run's.
        """
        async with self._host(for_node=for_node) as host:
            if not self._has_database(host):
                assert self._invocation.database is not None
                raise lost_database(self._invocation.database)
            if self._invocation.keeps_state and not host.has_state:
                await self._take_over(host)
            yield host

    async def _take_over(self, host: HostHandle) -> StatePart | None:
        parts = [
            {"number": part.number, "content": b64encode(part.content).decode()} for part in await self._read_state()
        ]
        try:
            answer = await host.process.channel.request("take_over", parts=parts, without=list(self._without))
        except DbtTemporalError:
            await shielded(self._clean_up(host))
            raise
        host.has_state = host.keeps_state = True
        return state_from(answer)

    def _has_database(self, host: HostHandle) -> bool:
        held = self._invocation.database
        return held is None or held.process == host.name

    def _owner(self, step: str, attempt: int = 1, *, whole_run: bool = False) -> dict[str, Any]:
        """Whose the sessions of a step are (`SessionOwner`)."""
        invocation_id = self._invocation.invocation_id
        run = self._invocation.owner or invocation_id
        return {"invocation_id": invocation_id, "run": run, "step": step, "attempt": attempt, "whole_run": whole_run}

    async def _run_statements(
        self, host: HostHandle, progress: Progress, op: str, owner: dict[str, Any], **fields: Any
    ) -> Any:
        """Makes a request that is cancelled with the task that awaits it, and whose sessions have the owner's name."""
        process = {"host_pid": host.process.pid}
        progress(process)
        told, silence = lambda facts: progress({**process, **facts}), self._invocation.silence_secs
        request_id, future = host.process.channel.start(op, told=told, owner=owner, silence_secs=silence, **fields)
        host.owners[request_id] = owner
        place = Path(fields["outcome"]) if "outcome" in fields else None
        if place is not None:
            host.attempts[place] = request_id, future
        try:
            answer = await host.answer_to(future, silence)
            self._tell_others(host, answer)
            return answer
        except asyncio.CancelledError:
            await shielded(self._cancel(host, request_id, future))
            raise
        except DbtTemporalError:
            # The failure is told when nothing of the attempt runs any more, here or in the database.
            await shielded(self._clean_up(host))
            raise
        finally:
            host.owners.pop(request_id, None)
            if place is not None:
                host.attempts.pop(place, None)

    def _tell_others(self, host: HostHandle, answer: dict[str, Any]) -> None:
        """Lets the run's other hosts here hear what an attempt at a node has changed, before anything follows it."""
        if "relations" in answer:
            built = [] if answer["error"] else [answer["result"]["unique_id"]]
            self._hosts.tell(host, answer["relations"], built)

    async def _cancel(self, host: HostHandle, request_id: int, future: asyncio.Future[Any]) -> None:
        """Cancels the request's statements and waits for its end, by force if need be."""
        host.process.channel.notify("cancel", target=request_id)
        done, _ = await asyncio.wait([future], timeout=self._cancel_secs)
        if not done:
            host.process.kill()
            await asyncio.wait([future], timeout=self._cancel_secs)
        with contextlib.suppress(DbtTemporalError, asyncio.CancelledError):
            self._tell_others(host, future.result())
        await self._clean_up(host)

    async def _clean_up(self, host: HostHandle) -> None:
        if host.alive:
            return
        try:
            await self._hosts.clean_up_after(host)
        except DbtTemporalError as error:
            logger.warning("database sessions of a process that died could not be ended yet: %s", error.message)


async def _no_state() -> Sequence[StatePart]:
    return []
