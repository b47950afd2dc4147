"""The course of one run on this worker: its processes, and which of them answers for a node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from dbt_temporal.adapters.dbt_v2.processes.answers import BEGIN, Answers
from dbt_temporal.adapters.dbt_v2.processes.choosing import State, chosen_nodes
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process, left_processes
from dbt_temporal.adapters.dbt_v2.processes.standing import Standing
from dbt_temporal.adapters.dbt_v2.processes.telling import Telling
from dbt_temporal.adapters.dbt_v2.processes.verdicts import Answer, Judge, Verdicts
from dbt_temporal.application.ports.engine import Progress, no_progress
from dbt_temporal.domain.errors import DbtTemporalError

LOCK_SECS = 300.0
"""So long a process waits for a database that another process has for itself alone."""
LOOK_FOR_LOCK_SECS = 0.5
JOIN_SECS = 0.2
"""So long a further process waits for nodes that are asked for at the same time."""

logger = logging.getLogger("dbt_temporal.engine")

Start = Callable[[V2Process], Awaitable[None]]
"""Starts a process that was not started yet."""


class NotBegunError(Exception):
    """No process has a word of a node, and none was to be started for it."""


class RunCourse:
    """The processes of a run, one after the other.

    Args:
        folder: where their files go.
        judge: says what endings mean.
        cancel_secs: a process that does not end within that time after it was told to is ended by force.
        settle_secs: so long nothing is started after a process was ended for one node: where the whole run is
            cancelled, the others hear of it by then.

    Attributes:
        processes: those that have come so far that they run nodes, or have ended.
        parents: by node of the plan, those that it waits for.
        answers: which process has answered for which attempt.
        standing: how nodes stand.
        ending: is held by whoever ends what processes have left in the database.
    """

    def __init__(self, folder: Path, judge: Judge, cancel_secs: float, settle_secs: float) -> None:
        self.processes: list[V2Process] = []
        self.parents: Mapping[str, Collection[str]] = {}
        self._folder, self._judge = folder, judge
        self._verdicts = Verdicts(judge, self._nodes_of)
        self._starting: V2Process | None = None
        self._is_starting = False
        self._cancel_secs, self._settle_secs = cancel_secs, settle_secs
        self.standing = Standing()
        self.answers = Answers(folder)
        self.ending = asyncio.Lock()
        self._requests: dict[str, Start] = {}
        self._given_up: set[str] = set()
        self._failures: dict[str, Exception] = {}
        self._starter: asyncio.Task[None] | None = None
        self._change, self._closed = asyncio.Event(), False
        self._interrupted_at: float | None = None

    async def restore(self) -> None:
        """Takes in what processes of the run have left that a worker of this machine has had before."""
        known = {process.number for process in self.processes}
        for process in left_processes(self._folder):
            if process.number not in known:
                await process.read_what_is_left(self._cancel_secs)
                self.processes.append(process)
        self.answers.read()

    async def look_again(self) -> None:
        """Does so once more where nothing runs here: another worker of this machine may have gone on since."""
        if self.current is None and not self._requests and not self._is_starting:
            await self.restore()

    def go_on_in(self, execution: str) -> None:
        """Says in which execution of its workflow the run goes on: after a reset, what is asked for is done anew."""
        self.answers.go_on_in(execution, self._next_number - 1)

    @property
    def current(self) -> V2Process | None:
        """The process that runs now, or is about to."""
        last = self._starting or (self.processes[-1] if self.processes else None)
        return None if last is None or last.ended.is_set() else last

    async def begin(
        self, start: Start, attempt: int = 1, nodes: frozenset[str] | None = None, tell: Progress = no_progress
    ) -> V2Process:
        """Starts a process for the run's whole selection, or for these of its nodes, once nothing else runs."""
        await self.at_rest()
        self.answers.note(BEGIN, attempt, self._next_number)
        return await self._start(start, nodes, tell)

    def knows_begin(self, attempt: int) -> bool:
        """Whether an attempt at `begin` was made on this machine."""
        return self.answers.number(BEGIN, attempt) is not None

    def begun_by(self, attempt: int) -> V2Process | None:
        """The process that an attempt at `begin` has started on this machine, if it has come so far."""
        number = self.answers.number(BEGIN, attempt)
        return next((process for process in self.processes if process.number == number), None)

    def ready(self) -> frozenset[str]:
        """The nodes that can run without those that have failed, or are taken for it."""
        return chosen_nodes(self.parents, self.states(), ())

    async def at_rest(self) -> None:
        """Waits until no process runs, nor is about to."""
        while self._requests or self.current is not None:
            await self.next_change()

    async def answer(
        self,
        unique_id: str,
        attempt: int,
        start: Start | None,
        tell: Progress = no_progress,
        *,
        again: bool = True,
    ) -> Answer:
        """How an attempt at a node ends, once it has.

        Args:
            unique_id: the node.
            attempt: its number.
            start: starts a further process; without it, there is none for this node.
            tell: hears when dbt begins the node, when its process was ended meanwhile, and what it is at.
            again: whether it may be begun once more then, for the same attempt.

        Raises:
            DbtTemporalError: EngineCrashed where the process died that ran it; what kept a process from running nodes.
            NotBegunError: without `start`.
        """
        self._given_up.discard(unique_id)
        passed: V2Process | None = None
        telling = Telling(unique_id, tell)
        deaths = 0
        while True:
            process = self._process_for(unique_id, attempt)
            if process is None or process is passed or self._is_stale(process, unique_id, attempt):
                if start is None:
                    raise NotBegunError
                process = await self._further_process(unique_id, passed, start, telling)
            while not process.ended.is_set() and not process.has_finished(unique_id):
                telling.of(process)
                await self.next_change()
            deaths += process.died and not process.interrupted
            try:
                answer = self._verdicts.of(process, unique_id, deaths, again=again and not self._closed)
            except DbtTemporalError:
                self.answers.note(unique_id, attempt, process.number)
                raise
            if answer is not None:
                self.answers.note(unique_id, attempt, process.number)
                return answer
            telling.begins_again()
            passed = process

    def left_by(self, unique_id: str, attempt: int) -> Answer | None:
        """What is known of an attempt that was to be answered by a process which has ended."""
        process = self._process_for(unique_id, attempt)
        told = None if process is None else process.told.nodes.get(unique_id)
        if process is None or told is None or not (process.ended.is_set() or process.has_finished(unique_id)):
            return None
        is_known = process.has_finished(unique_id)
        if is_known or told.cancelled or not told.error:  # lost with it: a further attempt is not to hear of that again
            self.answers.note(unique_id, attempt, process.number)
        return Answer(process, told) if is_known else None

    async def cancel(self, unique_id: str) -> None:
        """Ends what runs of a node, and with it the process that runs it, or is about to."""
        self._given_up.add(unique_id)  # it may not have begun: no further process is to run it unasked
        process = self.current
        if unique_id in self._requests:
            del self._requests[unique_id]
            self._wake()
        elif process is not None and process.has(unique_id):
            told = process.told.nodes.get(unique_id)
            if told is None or not told.finished:
                await self.interrupt()

    async def end_what_nobody_waits_for(self) -> None:
        """Ends the process that runs, where it has nodes left: nobody asks for them any more."""
        process = self.current
        if process is not None and any(not process.has_finished(each) for each in self._nodes_of(process)):
            await self.interrupt()

    async def interrupt(self) -> None:
        """Ends the process that runs, if one does."""
        process = self.current
        if process is not None:
            self._interrupted_at = asyncio.get_running_loop().time()
            await process.end(self._cancel_secs)

    async def close(self) -> None:
        """Ends all that runs."""
        self._closed = True
        if self._starter is not None:
            self._starter.cancel()
            await asyncio.gather(self._starter, return_exceptions=True)
        self._requests.clear()
        process = self.current
        if process is not None:
            await process.end(self._cancel_secs)

    def last_told(self, unique_id: str) -> Answer | None:
        """What the last process has told of a node that ran it, or said that it is skipped."""
        for process in reversed(self.processes):
            told = process.told.nodes.get(unique_id)
            if told is not None and (told.finished or told.error):
                return Answer(process, told)
        return None

    def states(self) -> dict[str, State]:
        """How the nodes stand."""
        return self.standing.states(self.processes)

    def _process_for(self, unique_id: str, attempt: int) -> V2Process | None:
        """The process that answers for an attempt: the last one that had the node since the attempt before."""
        answered = self.answers.number(unique_id, attempt)
        if answered is not None:
            return next((each for each in self.processes if each.number == answered), None)
        last = self.answers.last_before(unique_id, attempt)
        since = [process for process in self.processes if process.number > last and process.has(unique_id)]
        return since[-1] if since else None

    def _nodes_of(self, process: V2Process) -> Collection[str]:
        return self.parents if process.nodes is None else process.nodes

    def _is_stale(self, process: V2Process, unique_id: str, attempt: int) -> bool:
        """Whether the run has been elsewhere since a process ended that was not asked about this attempt then."""
        return process.number <= self.standing.stale and self.answers.number(unique_id, attempt) is None

    async def _further_process(
        self, unique_id: str, before: V2Process | None, start: Start, telling: Telling
    ) -> V2Process:
        """A process that was started for the node after another one."""
        self._requests[unique_id] = start
        if self._starter is None or self._starter.done():
            self._starter = asyncio.create_task(self._start_further())
        try:
            while True:
                failure = self._failures.pop(unique_id, None)
                if failure is not None:
                    raise failure
                last = self.processes[-1] if self.processes else None
                if unique_id not in self._requests and last is not None and last is not before and last.has(unique_id):
                    return last
                telling.waits(self._starting)
                await self.next_change()
        except asyncio.CancelledError:
            self._requests.pop(unique_id, None)
            self._wake()
            raise

    async def _start_further(self) -> None:
        while self._requests and not self._closed:
            current = self.current
            if current is not None:
                await current.ended.wait()
                continue
            await asyncio.sleep(JOIN_SECS)
            if self._interrupted_at is not None:
                waited = asyncio.get_running_loop().time() - self._interrupted_at
                await asyncio.sleep(max(0.0, self._settle_secs - waited))
                self._interrupted_at = None
            requested = dict(self._requests)
            if not requested:
                return
            states = self.states() | dict.fromkeys(self._given_up, "bad")
            nodes = chosen_nodes(self.parents, states, requested) | requested.keys()
            logger.info("a further process of dbt v2 begins, for %d nodes", len(nodes))

            async def start(process: V2Process, asked: Mapping[str, Start] = requested) -> None:
                await next(iter(asked.values()))(process)
                if asked.keys() - self._requests.keys():  # cancelled before there was a process to end
                    process.interrupt()

            try:
                await self._start(start, nodes, no_progress)
            except Exception as error:
                self._failures |= dict.fromkeys(requested.keys() & self._requests.keys(), error)
            for unique_id in requested:
                self._requests.pop(unique_id, None)
            self._wake()

    @property
    def _next_number(self) -> int:
        return self.processes[-1].number + 1 if self.processes else 1

    async def _start(self, start: Start, nodes: frozenset[str] | None, tell: Progress) -> V2Process:
        """Starts a process, and waits until it has the database."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_SECS
        number, is_locked_out, telling = self._next_number, False, Telling("", tell)
        while True:
            process = V2Process(number, self._folder / str(number), nodes)
            process.changed, process.was_locked_out = self._wake, is_locked_out
            self._is_starting = True
            try:
                await start(process)
                self._starting = process
            finally:
                self._is_starting = False
            try:
                while not (process.ended.is_set() or process.told.hooks or process.told.has_begun):
                    telling.waits(process)
                    await self.next_change()
                is_locked_out = self._judge.is_locked_out(process) and not process.interrupted
                if not is_locked_out or loop.time() > deadline:
                    break
                await asyncio.sleep(LOOK_FOR_LOCK_SECS)
            except asyncio.CancelledError:  # whoever has it ended finds it among the others
                self._has_started(process)
                raise
        self._has_started(process)
        return process

    def _has_started(self, process: V2Process) -> None:
        self._starting = None
        self.processes.append(process)
        self._wake()

    def _wake(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def next_change(self) -> None:
        """Waits until a process has told something more, has ended, or begins."""
        await self._change.wait()
