"""One run on dbt v2: a process for its whole selection, and further ones for what is to be run again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import orjson

from dbt_temporal.adapters.dbt_v2 import command_line
from dbt_temporal.adapters.dbt_v2.artifacts import ARTIFACTS, write_artifacts
from dbt_temporal.adapters.dbt_v2.commands import TargetFacts, V2Commands, V2Project
from dbt_temporal.adapters.dbt_v2.helper import SESSION_VARIABLE, session_name, this_worker
from dbt_temporal.adapters.dbt_v2.leases import lease_of
from dbt_temporal.adapters.dbt_v2.plan import (
    ON_RUN_END,
    make_plan,
    read_manifest,
    refuse_lacking,
    unrepeatable,
)
from dbt_temporal.adapters.dbt_v2.processes.course import NotBegunError, RunCourse
from dbt_temporal.adapters.dbt_v2.processes.courses import Courses
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.results import EndingsJudge, skipped_for
from dbt_temporal.adapters.dbt_v2.runs import catalog
from dbt_temporal.adapters.dbt_v2.runs.deferral import Deferral
from dbt_temporal.adapters.dbt_v2.runs.graph import run_graph
from dbt_temporal.adapters.dbt_v2.runs.lineage import run_lineage
from dbt_temporal.adapters.dbt_v2.runs.near_names import unknown_names
from dbt_temporal.adapters.dbt_v2.runs.outcomes import WHY_IT_KEEPS, Outcomes, refuse_unheard_end
from dbt_temporal.adapters.dbt_v2.runs.selection import Selection, beside, said_in_planning
from dbt_temporal.adapters.dbt_v2.runs.sessions import Sessions
from dbt_temporal.adapters.dbt_v2.runs.showing import SOURCES, chosen, write_sources
from dbt_temporal.adapters.earlier_runs import RetriedRuns, remembered
from dbt_temporal.application.ports.engine import (
    CompletedNode,
    EnginePlan,
    NodeOutcome,
    Prepared,
    Progress,
    ReadState,
)
from dbt_temporal.application.shielding import shielded
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.leases.messages import Lease, LeasePer
from dbt_temporal.domain.lineage.model import LineageGraph
from dbt_temporal.domain.report.model import RunGraph
from dbt_temporal.domain.results import NodeStatus
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.invocation import DbtInvocation, LostWork

_EDGES = "edges.json"


class DbtV2Run:
    """Implements `EngineRun`. `references` are the folders that have what references of the input name, here."""

    def __init__(
        self,
        commands: V2Commands,
        courses: Courses,
        invocation: DbtInvocation,
        project: V2Project,
        references: Mapping[str, Path],
        retried: RetriedRuns,
    ) -> None:
        self._commands = commands
        self._courses = courses
        self._invocation = invocation
        self._project = project
        self._folder = courses.folder(invocation.invocation_id)
        self._deferral = Deferral(invocation.input, project.environ, references, self._folder)
        self._selection = Selection(commands, project, invocation, self._deferral.words, retried)
        self._judge = EndingsJudge(partial(project.fails_fast, invocation.input))
        self._outcomes = Outcomes(invocation.input, project, self._judge)
        self._sessions = Sessions(commands, invocation.invocation_id, project, self._folder / "sessions", self._facts)

    async def plan(self) -> EnginePlan:
        run_input, folder = self._invocation.input, self._folder
        facts, (told, selected) = await beside(self._facts(), self._selection.made(folder / "plan"))
        manifest = await asyncio.to_thread(read_manifest, told.target)
        is_inline = run_input.inline is not None
        selected = [manifest.take_inline()] if is_inline else chosen(run_input.command, manifest, selected)
        plan = await asyncio.to_thread(
            make_plan,
            manifest,
            selected,
            invocation_id=self._invocation.invocation_id,
            command=run_input.command,
            listing=await self._selection.listing(folder / "listing", selected),
        )
        edges = {unique_id: plan.nodes[unique_id].depends_on for level in plan.levels for unique_id in level}
        await asyncio.to_thread((folder / "plan" / _EDGES).write_bytes, orjson.dumps(edges))
        (await self._courses.of(self._invocation, self._judge)).parents = edges
        refuse_lacking(manifest.dbt_version, facts.adapter_type, plan)
        unknown = await asyncio.to_thread(unknown_names, run_input.select, manifest.document)
        return EnginePlan(
            plan=plan,
            engine=command_line.NAME,
            target=facts.name,
            threads=run_input.threads or facts.threads,
            dbt_version=manifest.dbt_version,
            adapter_type=facts.adapter_type,
            counts=manifest.counts,
            fail_fast=self._judge.ends_with_failures(),
            unrepeatable=unrepeatable(manifest, selected, full_refresh=bool(run_input.full_refresh))
            if COMMANDS[run_input.command].writes and run_input.command != "clone"
            else frozenset(),
            nothing_to_do=not selected,
            messages=[*said_in_planning(told), *unknown],
            runs_ahead=True,
            taken_over=self._invocation.what_was_taken_over,
        )

    async def lease(self, per: LeasePer, unique_ids: Collection[str]) -> Lease | None:
        return lease_of(
            per,
            unique_ids,
            run_input=self._invocation.input,
            manifest=await asyncio.to_thread(read_manifest, self._folder / "plan" / "target"),
            facts=await self._facts(),
            folder=self._project.folder,
        )

    async def before_run(self, progress: Progress, attempt: int = 1, lost: LostWork | None = None) -> Prepared:
        course = await self._kept_course()
        nodes = None
        if lost is not None and lost.not_again and not all(map(course.knows_begin, lost.attempts)):
            # On another machine, dbt has gone on to nodes, or not: nobody here knows.
            course.standing.keep_back(lost.not_again, course.processes)
            nodes = course.ready()
            if not nodes:
                return self._prepared(may_have_run=True)
        try:
            process = await course.begin(self._start, attempt, nodes, progress)
            while not (process.ended.is_set() or process.told.has_begun):
                await course.next_change()
        except asyncio.CancelledError:
            await shielded(course.interrupt())
            raise
        process.refuse_unknown_events()
        return self._prepared(process)

    async def outcome_of_before_run(self, attempt: int) -> Prepared | None:
        course = await self._kept_course()
        await course.look_again()
        if not course.knows_begin(attempt):
            if course.current is None:  # it was another machine's worker
                await self._sessions.end_all(course)
            return None
        await self._sessions.end_left(course)
        process = course.begun_by(attempt)
        if process is None or not (process.told.has_begun or process.told.failed_hook is not None):
            return None
        if process.nodes is not None:  # the others may have run elsewhere
            course.standing.keep_back(course.parents.keys() - process.nodes, course.processes)
        return self._prepared(process)

    def _prepared(self, process: V2Process | None = None, *, may_have_run: bool = False) -> Prepared:
        """What a process that has begun the run has come to; or that nothing of it may be begun unasked."""
        ended = Prepared() if process is None else self._outcomes.prepared(process)
        return replace(
            ended,
            keeps_worker=WHY_IT_KEEPS,
            may_have_run=may_have_run or (process is not None and process.nodes is not None),
            worker=this_worker(),
            mark=self._courses.mark,
        )

    async def use_state(self, read: ReadState, without: Collection[str] = ()) -> None:
        del read, without  # nothing is kept in processes that outlasts them

    async def resume(
        self, progress: Progress, ended: Mapping[str, NodeStatus] = MappingProxyType({}), lost: LostWork | None = None
    ) -> Prepared:
        del progress
        course = await self._kept_course()
        await course.look_again()
        knows_all = bool(course.processes) and (lost is None or course.answers.has_part_of(lost.mark))
        if knows_all:
            await self._sessions.end_left(course)
        else:  # it was another machine's worker
            await self._sessions.end_all(course)
        course.standing.adopt(ended, course.processes, was_elsewhere=not knows_all)
        if lost is not None and (lost.earlier or not knows_all):
            course.standing.keep_back(lost.not_again, course.processes)
        return replace(self._prepared(), knows_all=knows_all)

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
        del ephemerals, part  # dbt runs ephemeral models and batches by itself
        course = await self._course()
        start = None if behind_failure else self._start
        self._commands.guard(course.current, self._project)
        try:
            answer = await course.answer(unique_id, attempt, start, progress, again=again)
            outcome = await self._outcomes.of_node(unique_id, answer)
        except NotBegunError:
            return skipped_for(unique_id)
        except DbtTemporalError:  # there may be no further process that does it
            await self._sessions.end_left_if_possible(course)
            raise
        except asyncio.CancelledError:
            await shielded(self._sessions.cancel(course, unique_id))
            raise
        if outcome is None:
            raise answer.process.lost(unique_id)
        return outcome

    async def outcome_of(self, unique_id: str, attempt: int, part: BatchPart | None = None) -> NodeOutcome | None:
        del part
        course = await self._course()
        await self._sessions.end_left(course)
        answer = course.left_by(unique_id, attempt)
        outcome = None if answer is None else await self._outcomes.of_node(unique_id, answer)
        return None if outcome is None or (outcome.error is not None and outcome.error.retryable) else outcome

    async def after_run(self, results: list[CompletedNode], progress: Progress, attempt: int = 1) -> list[NodeOutcome]:
        del results, progress, attempt  # dbt has run on-run-end with its own
        course = await self._course()
        try:
            await course.end_what_nobody_waits_for()
            await course.at_rest()
        except asyncio.CancelledError:
            await shielded(course.interrupt())
            raise
        self._judge.refuse_bad_end(course.processes)
        await asyncio.to_thread(refuse_unheard_end, course.processes, self._folder / "plan" / "target")
        return self._outcomes.of_hooks(course.processes, ON_RUN_END)

    async def outcome_of_after_run(self, attempt: int) -> list[NodeOutcome] | None:
        del attempt
        course = await self._course()
        await course.at_rest()
        self._judge.refuse_bad_end(course.processes)
        return self._outcomes.of_hooks(course.processes, ON_RUN_END) if course.processes else None

    async def artifacts(
        self, results: list[CompletedNode], elapsed_time: float, *, with_catalog: bool = False, with_sql: bool = False
    ) -> Mapping[str, Path]:
        course = await self._course()
        await course.end_what_nobody_waits_for()
        await course.at_rest()
        await self._sessions.end_left_if_possible(course)
        folder = self._folder
        plan_of_here = folder / "plan" / "target"
        if not course.processes and not (plan_of_here / "manifest.json").is_file():
            await self._selection.made(folder / "plan")
        command = self._invocation.input.command
        invocation = {
            "invocation_id": self._invocation.invocation_id,
            "dbt_version": (await self._commands.binary()).version,
            "command": command,
            "remembered": remembered(self._invocation.input),
        }
        files = await asyncio.to_thread(
            write_artifacts,
            folder / ARTIFACTS,
            course,
            results,
            project=self._project,
            planned=plan_of_here,
            invocation=invocation,
            elapsed_time=elapsed_time,
            with_results=command in command_line.EXECUTED | command_line.WITHOUT_ENTRIES,
            with_entries=command in command_line.EXECUTED,
            with_sql=with_sql,
        )
        beside = {catalog.CATALOG: await self._catalog(course, with_catalog=with_catalog)}
        if command == "source-freshness":
            beside[SOURCES] = await asyncio.to_thread(
                write_sources, folder / ARTIFACTS, course.processes, results, invocation, elapsed_time
            )
        return {**files, **{name: place for name, place in beside.items() if place is not None}}

    async def _catalog(self, course: RunCourse, *, with_catalog: bool) -> Path | None:
        command, folder = self._invocation.input.command, self._folder / "catalog"
        if command == "docs-generate":
            return await catalog.left_catalog(course.processes)
        if not with_catalog or command in catalog.WITHOUT:
            return None
        return await catalog.made_catalog(self._commands, folder, self._invocation.invocation_id, self._project)

    async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
        parents = (await self._course()).parents
        return await asyncio.to_thread(run_graph, self._folder / ARTIFACTS, parents, with_code)

    async def lineage(self) -> LineageGraph:
        selected, facts = (await self._course()).parents, await self._facts()
        return run_lineage(await asyncio.to_thread(read_manifest, self._folder / "plan" / "target"), selected, facts)

    async def failed_ephemerals(self) -> frozenset[str]:
        return frozenset()  # ephemeral models are nodes of the plan, with results of their own

    async def _kept_course(self) -> RunCourse:
        """The course, of a run that has files here from now on; those of its plan may have gone meanwhile."""
        self._courses.keep(self._invocation.invocation_id)
        course = await self._course()
        course.parents = await self._parents()
        return course

    async def _course(self) -> RunCourse:
        course = await self._courses.of(self._invocation, self._judge)
        if not course.parents:
            course.parents = await self._parents()
        return course

    async def _parents(self) -> Mapping[str, Collection[str]]:
        """What nodes wait for, by the plan: that of this machine, or made again where another one made it."""
        folder = self._folder / "plan"
        if not (folder / _EDGES).is_file():
            await self.plan()
        parents: dict[str, list[str]] = orjson.loads((folder / _EDGES).read_bytes())
        return parents

    async def _facts(self) -> TargetFacts:
        return await self._commands.facts(self._folder / "facts", self._project)

    async def _start(self, process: V2Process) -> None:
        """Starts a process of the run's command."""
        run_input, course = self._invocation.input, await self._course()
        await self._sessions.end_left(course)
        is_further = process.nodes is not None
        state_words = await self._deferral.words_beside(course.parents) if is_further else self._deferral.words
        words = [
            *command_line.command_words(run_input.command),
            *await self._selection.words(course.parents, process.nodes, state_words, self._folder),
            *command_line.flags(run_input),
            *("--threads", str(run_input.threads or (await self._facts()).threads)),
            *("--invocation-id", self._invocation.invocation_id, "--write-json"),
        ]
        name = session_name(self._invocation.invocation_id, process.number)
        process.session = await self._sessions.name(process.number)
        await self._commands.start(process, words, self._project.with_variable(SESSION_VARIABLE, name))
