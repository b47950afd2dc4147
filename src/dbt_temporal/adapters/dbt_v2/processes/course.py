"""The course of one run on this worker: its processes, and which of them answers for a node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from dbt_temporal.adapters.dbt_v2.processes.answers import Answers
from dbt_temporal.adapters.dbt_v2.processes.choosing import State, chosen_nodes, state_of
from dbt_temporal.adapters.dbt_v2.processes.judge import Judge
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process, left_processes
from dbt_temporal.adapters.dbt_v2.processes.told import Told
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import NodeStatus

LOCK_SECS = 300.0
"""So long a process waits for a database that another process has for itself alone."""
LOOK_FOR_LOCK_SECS = 0.5
MAX_DEATHS = 3
"""A node that waits while so many processes die beside it fails with them."""
JOIN_SECS = 0.2
"""So long a further process waits for nodes that are asked for at the same time."""

logger = logging.getLogger("dbt_temporal.engine")

Start = Callable[[V2Process], Awaitable[None]]
"""Starts a process that was not started yet."""


class NotBegunError(Exception):
    """No process has a word of a node, and none was to be started for it."""


@dataclass(frozen=True)
class Answer:
    """What a process has of a node. `told` is None where fail-fast has kept it from beginning, or ended it."""

    process: V2Process
    told: Told | None


class RunCourse:
    """The processes of a run, one after the other.

    Args:
        folder: where their files go.
        judge: says what endings mean.
        cancel_secs: a process that does not end within that time after it was told to is ended by force.
        settle_secs: so long nothing is started after a process was ended for one node: where the whole run is
            cancelled, the others hear of it by then.
    """

    def __init__(self, folder: Path, judge: Judge, cancel_secs: float, settle_secs: float) -> None:
        self.processes: list[V2Process] = []
        self.parents: Mapping[str, Collection[str]] = {}
        self._folder, self._judge = folder, judge
        self._starting: V2Process | None = None
        self._cancel_secs, self._settle_secs = cancel_secs, settle_secs
        self._known: dict[str, State] = {}
        self._answers = Answers(folder)
        self._requests: dict[str, Start] = {}
        self._given_up: set[str] = set()
        self._failures: dict[str, Exception] = {}
        self._starter: asyncio.Task[None] | None = None
        self._change, self._closed = asyncio.Event(), False
        self._interrupted_at: float | None = None

    async def restore(self) -> None:
        """Takes in what processes of the run have left that a worker of this machine has had before."""
        for process in left_processes(self._folder):
            await process.read_what_is_left(self._cancel_secs)
            self.processes.append(process)
        self._answers.read()

    def adopt(self, ended: Mapping[str, NodeStatus]) -> None:
        """Takes in how nodes have ended on another worker, as far as the run knows."""
        for unique_id, status in ended.items():
            state: State = "good" if status == "success" else "skipped" if status == "skipped" else "bad"
            self._known[unique_id] = state

    def go_on_in(self, execution: str) -> None:
        """Says in which execution of its workflow the run goes on: after a reset, what is asked for is done anew."""
        self._answers.go_on_in(execution, self.processes[-1].number if self.processes else 0)

    @property
    def current(self) -> V2Process | None:
        """The process that runs now, or is about to."""
        last = self._starting or (self.processes[-1] if self.processes else None)
        return None if last is None or last.ended.is_set() else last

    async def begin(self, start: Start) -> V2Process:
        """Starts a process for the run's whole selection, once nothing else runs."""
        await self.at_rest()
        return await self._start(start, None)

    async def at_rest(self) -> None:
        """Waits until no process runs, nor is about to."""
        while self._requests or self.current is not None:
            await self.next_change()

    async def answer(
        self,
        unique_id: str,
        attempt: int,
        start: Start | None,
        tell: Callable[[bool], None] = lambda _begun: None,
        *,
        again: bool = True,
    ) -> Answer:
        """How an attempt at a node ends, once it has.

        Args:
            unique_id: the node.
            attempt: its number.
            start: starts a further process; without it, there is none for this node.
            tell: called with true when dbt begins the node, and with false when its process was ended meanwhile.
            again: whether it may be begun once more then, for the same attempt.

        Raises:
            DbtTemporalError: EngineCrashed where the process died that ran it; what kept a process from running nodes.
            NotBegunError: without `start`.
        """
        self._given_up.discard(unique_id)
        passed: V2Process | None = None
        deaths = 0
        while True:
            process = self._process_for(unique_id, attempt)
            if process is None or process is passed:
                if start is None:
                    raise NotBegunError
                process = await self._further_process(unique_id, passed, start)
            begun = False
            while not process.ended.is_set() and not process.has_finished(unique_id):
                told = process.told.nodes.get(unique_id)
                if not begun and told is not None and told.started_at:
                    begun = True
                    tell(begun)
                await self.next_change()
            deaths += process.died and not process.interrupted
            try:
                answer = self._verdict(process, unique_id, deaths, again=again)
            except DbtTemporalError:
                self._answers.note(unique_id, attempt, process.number)
                raise
            if answer is not None:
                self._answers.note(unique_id, attempt, process.number)
                return answer
            if begun:
                logger.info("%s is begun again: its process was ended for another node", unique_id)
                tell(False)
            passed = process

    def left_by(self, unique_id: str, attempt: int) -> Answer | None:
        """What is known of an attempt that was to be answered by a process which has ended."""
        process = self._process_for(unique_id, attempt)
        told = None if process is None else process.told.nodes.get(unique_id)
        if process is None or told is None or not (process.ended.is_set() or process.has_finished(unique_id)):
            return None
        is_known = process.has_finished(unique_id)
        if is_known or told.cancelled or not told.error:  # lost with it: a further attempt is not to hear of that again
            self._answers.note(unique_id, attempt, process.number)
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
        states = dict(self._known)
        for process in self.processes:
            for unique_id, told in process.told.nodes.items():
                states[unique_id] = state_of(told, ended=process.ended.is_set())
        return states

    def _process_for(self, unique_id: str, attempt: int) -> V2Process | None:
        """The process that answers for an attempt: the last one that had the node since the attempt before."""
        answered = self._answers.number(unique_id, attempt)
        if answered is not None:
            return next((each for each in self.processes if each.number == answered), None)
        last = self._answers.last_before(unique_id, attempt)
        since = [process for process in self.processes if process.number > last and process.has(unique_id)]
        return since[-1] if since else None

    def _verdict(self, process: V2Process, unique_id: str, deaths: int, *, again: bool) -> Answer | None:
        """What an ended node, or process, comes to for a node; None where a further process has to run it.

        Raises:
            DbtTemporalError: the node's attempt is lost, or was not begun because the process failed before.
        """
        told = process.told.nodes.get(unique_id)
        if told is not None and not told.cancelled and (told.finished or told.error):
            return Answer(process, told)  # an error alone: its task panicked, and dbt has no result of it
        if self._ended_by_failure(process):
            return Answer(process, None)
        if process.interrupted and again and not self._closed:
            return None  # for another node's sake: that is no attempt which counts
        if (told is not None and (told.started_at or told.finished)) or deaths >= MAX_DEATHS:
            raise process.lost(unique_id)
        failure = self._judge.failure_before_nodes(process)
        if failure is not None:
            raise failure
        if process.interrupted or process.died or self._stopped_short(process):
            return None
        raise DbtTemporalError(
            ErrorType.ENGINE_CRASHED, f"{unique_id}: dbt v2 has come to its end without it", retryable=False
        )

    def _ended_by_failure(self, process: V2Process) -> bool:
        """Whether fail-fast has ended a process, for a node that no other attempt mends."""
        if process.interrupted or not process.told.completed:
            return False
        return self._stopped_short(process) and any(not self._judge.may_be_mended(each) for each in process.failed)

    def _stopped_short(self, process: V2Process) -> bool:
        """Whether a process has ended for a failure, with nodes left."""
        return bool(process.failed) and any(not process.has_finished(each) for each in self._nodes_of(process))

    def _nodes_of(self, process: V2Process) -> Collection[str]:
        return self.parents if process.nodes is None else process.nodes

    async def _further_process(self, unique_id: str, before: V2Process | None, start: Start) -> V2Process:
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
                await self._start(start, nodes)
            except Exception as error:
                self._failures |= dict.fromkeys(requested.keys() & self._requests.keys(), error)
            for unique_id in requested:
                self._requests.pop(unique_id, None)
            self._wake()

    async def _start(self, start: Start, nodes: frozenset[str] | None) -> V2Process:
        """Starts a process, and waits until it has the database."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_SECS
        number = self.processes[-1].number + 1 if self.processes else 1
        while True:
            process = V2Process(number, self._folder / str(number), nodes)
            process.changed = self._wake
            await start(process)
            self._starting = process
            while not (process.ended.is_set() or process.told.hooks or process.told.has_begun):
                await self.next_change()
            if not self._judge.is_locked_out(process) or process.interrupted or loop.time() > deadline:
                break
            await asyncio.sleep(LOOK_FOR_LOCK_SECS)
        self._starting = None
        self.processes.append(process)
        self._wake()
        return process

    def _wake(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def next_change(self) -> None:
        """Waits until a process has told something more, has ended, or begins."""
        await self._change.wait()
