"""Tells of runs and nodes where they are worked on: nothing of it goes through Temporal, and no step waits for it.

Whoever begins or ends an attempt tells of it. What a worker that was lost has not told is told by the next attempt at
the same node, or, where there is none, with the run's artifacts. Ids are made of what an event is about, so that it is
the same event whoever tells it, and a worker tells each but once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dbt_temporal.application.ports.engine import EngineRun, NodeOutcome
from dbt_temporal.application.ports.lineage.sender import LineageSender
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.lineage.events import (
    COMMANDS_WITH_LINEAGE,
    ENDS,
    RUN_ENDS,
    ended_at,
    node_event,
    run_event,
)
from dbt_temporal.domain.lineage.model import EventType, LineageEvent, LineageGraph, RunEnded
from dbt_temporal.domain.lineage.names import attempt_run_id
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.invocation import DbtInvocation

GRAPH_SECS = 120.0
"""How long the engine may take to say what a run reads and writes. It has it in memory, but the run may have to wait
for a process first, as its node would have to."""
GRAPH_SECS_AT_END = 10.0
"""The same where artifacts are stored: by then it has a process, and the step has a limit of its own."""
MAX_ASKED = 3
"""How often it is asked, where it does not say."""
MAX_RUNS = 16
"""Of how many runs at once a worker keeps that. Those that end here are forgotten at once."""
LOST = "nobody has heard how this attempt ended: its worker was lost"

logger = logging.getLogger(__name__)


@dataclass
class _Told:
    """What a worker knows, and has told, of one run."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    graphs: dict[str | None, LineageGraph] = field(default_factory=dict)
    """By the project's revision."""
    asked_in_vain: int = 0
    events: set[tuple[str, EventType]] = field(default_factory=set)


class LineageTelling:
    """Tells a sender; without one, nothing is told. What goes wrong is logged, and costs a run nothing else."""

    def __init__(self, sender: LineageSender | None = None) -> None:
        self._sender = sender
        self._runs: OrderedDict[str, _Told] = OrderedDict()

    def run_began(self, invocation: DbtInvocation) -> None:
        """Tells that a run begins to execute nodes."""
        if self._tells_of(invocation):
            self._send(invocation, lambda: run_event(invocation, EventType.START, invocation.started_at))

    def run_ended(self, invocation: DbtInvocation, ended: RunEnded | None) -> None:
        """Tells how a run has ended; this worker has nothing more to do with it. Of one that was skipped, nothing."""
        if ended is not None and ended.outcome in RUN_ENDS and self._tells_of(invocation):
            event_type, at, message = RUN_ENDS[ended.outcome], ended.at, ended.message
            self._send(invocation, lambda: run_event(invocation, event_type, at, message))
        self._runs.pop(invocation.invocation_id, None)

    async def attempt(
        self,
        run: EngineRun,
        invocation: DbtInvocation,
        unique_id: str,
        number: int,
        *,
        part: BatchPart | None = None,
        unheard: Collection[int] = (),
        waits: bool = False,
    ) -> Attempt:
        """An attempt at a node, which tells of itself.

        Args:
            run: the run on its engine.
            invocation: the same.
            unique_id: the node.
            number: of the attempt.
            part: what of the node is done, where it is not the whole.
            unheard: attempts before it of which nobody has heard how they ended.
            waits: whether it may have to wait before it begins, and says so then.
        """
        graph = await self._graph(run, invocation, GRAPH_SECS) if self._tells_of(invocation) else LineageGraph()
        lost = [each for each in unheard if each != number]
        return Attempt(self, invocation, graph, unique_id, number, part, lost, waits)

    async def nodes_ended(
        self,
        run: EngineRun,
        invocation: DbtInvocation,
        results: Iterable[NodeExecutionResult],
        unrecorded: Collection[str],
        at: str | None,
    ) -> None:
        """Tells how the nodes of a run have ended, as far as this worker has not told of it.

        Args:
            run: the run on its engine.
            invocation: the same.
            results: of its nodes.
            unrecorded: those whose result is no attempt's own word.
            at: when the run ended, where that was some time ago.
        """
        if not self._tells_of(invocation):
            return
        graph = await self._graph(run, invocation, GRAPH_SECS_AT_END)
        words = frozenset(unrecorded)
        for result in results:
            if _is_told_again(result, graph, words):
                time = ended_at(result, at or _now())
                self.tell_node(
                    invocation, graph, result.unique_id, result.attempts, ENDS[result.status], time, result=result
                )

    def tell_node(
        self,
        invocation: DbtInvocation,
        graph: LineageGraph,
        unique_id: str,
        attempt: int | None,
        event_type: EventType,
        time: str,
        *,
        result: NodeExecutionResult | None = None,
        message: str | None = None,
    ) -> None:
        """Tells of an attempt at a node of the graph; the arguments are those of `node_event`."""
        why = result.message if message is None and result is not None else message
        self._send(
            invocation,
            lambda: node_event(
                invocation,
                graph,
                unique_id,
                attempt,
                event_type,
                time,
                result=result,
                message=None if event_type is EventType.COMPLETE else why,
            ),
        )

    def has_told_end(self, invocation: DbtInvocation, unique_id: str, attempt: int) -> bool:
        """Whether it has told how an attempt ended: its process may have died, or Temporal not have heard of it."""
        run_id = attempt_run_id(invocation.invocation_id, unique_id, attempt)
        told = self._told(invocation).events
        return any((run_id, event_type) in told for event_type in ENDS.values())

    def _tells_of(self, invocation: DbtInvocation) -> bool:
        return self._sender is not None and invocation.input.command in COMMANDS_WITH_LINEAGE

    def _told(self, invocation: DbtInvocation) -> _Told:
        told = self._runs.setdefault(invocation.invocation_id, _Told())
        self._runs.move_to_end(invocation.invocation_id)
        while len(self._runs) > MAX_RUNS:
            self._runs.popitem(last=False)
        return told

    def _send(self, invocation: DbtInvocation, make: Callable[[], LineageEvent]) -> None:
        told = self._told(invocation)
        try:
            event = make()
            key = (event.run_id, event.type)
            if self._sender is not None and key not in told.events:
                told.events.add(key)
                self._sender.send(event)
        except Exception:  # a fault of ours, or of a sender that is not: the run has nothing to do with it
            logger.exception("an event of run %s could not be told", invocation.invocation_id)

    async def _graph(self, run: EngineRun, invocation: DbtInvocation, within_secs: float) -> LineageGraph:
        """What the run reads and writes, which the engine is asked once; nothing where it does not say."""
        told = self._told(invocation)
        async with told.lock:
            graph = told.graphs.get(invocation.revision)
            if graph is None and told.asked_in_vain < MAX_ASKED:
                graph = await _asked(run, invocation, within_secs)
                told.asked_in_vain += graph is None
            if graph is None:
                return LineageGraph()
            told.graphs[invocation.revision] = graph
            return graph


class Attempt:
    """An attempt at a node, or at a part of one, of which those parts that begin and end it tell."""

    def __init__(
        self,
        telling: LineageTelling,
        invocation: DbtInvocation,
        graph: LineageGraph,
        unique_id: str,
        number: int,
        part: BatchPart | None,
        lost: Collection[int],
        waits: bool,
    ) -> None:
        self._telling = telling
        self._invocation = invocation
        self._graph = graph
        self._unique_id = unique_id
        self._number = number if part is None else None
        self._stage = None if part is None else part.stage
        self._lost = lost if part is None else ()
        self._waits = waits
        self._known = unique_id in graph.nodes
        self._has_begun = False
        self.outcome: NodeOutcome | None = None
        """How it ended, once it has."""

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tells of what is done in the block, at whose end the outcome is known, or an error is raised."""
        if not self._waits:
            self.begins()
        try:
            yield
        except DbtTemporalError as error:
            self._ends(EventType.FAIL, error.result, error.message)
            raise
        except asyncio.CancelledError:
            self._ends(EventType.ABORT, None, "cancelled")
            raise
        except Exception as error:
            self._ends(EventType.FAIL, None, type(error).__name__)
            raise
        if self.outcome is not None:
            result = self.outcome.result
            failed = self.outcome.error is not None
            self._ends(EventType.FAIL if failed else ENDS.get(result.status), result, None)

    def begins(self) -> None:
        """Tells that it begins, and of those that were lost before it."""
        if self._has_begun or not self._known or self._stage not in (None, "begin"):
            return
        self._has_begun = True
        for number in self._lost:
            if not self._telling.has_told_end(self._invocation, self._unique_id, number):
                self._tell(number, EventType.ABORT, _now(), message=LOST)
        self._tell(self._number, EventType.START, _now())

    def _ends(self, event_type: EventType | None, result: NodeExecutionResult | None, message: str | None) -> None:
        goes_on = self._stage == "batch" or (self._stage == "begin" and event_type is EventType.COMPLETE)
        if event_type is None or not self._known or goes_on:
            return
        self.begins()
        time = _now() if result is None else ended_at(result, _now())
        self._tell(self._number, event_type, time, result=result, message=message)

    def _tell(
        self,
        number: int | None,
        event_type: EventType,
        time: str,
        *,
        result: NodeExecutionResult | None = None,
        message: str | None = None,
    ) -> None:
        self._telling.tell_node(
            self._invocation, self._graph, self._unique_id, number, event_type, time, result=result, message=message
        )


async def _asked(run: EngineRun, invocation: DbtInvocation, within_secs: float) -> LineageGraph | None:
    try:
        async with asyncio.timeout(within_secs):
            return await run.lineage()
    except Exception as error:
        reason = str(error) or type(error).__name__
        logger.warning(
            "nothing is told of a node of run %s, as what it reads and writes is not known: %s",
            invocation.invocation_id,
            reason,
        )
        return None


def _is_told_again(result: NodeExecutionResult, graph: LineageGraph, words: frozenset[str]) -> bool:
    """Whether the end of a node's last attempt is known by its result.

    It is not where an operator has had the last word, or where several steps have made up the node.
    """
    by_operator = result.unique_id in words and result.status == "success"
    return (
        result.unique_id in graph.nodes
        and result.status in ENDS
        and result.attempts > 0
        and result.batch_results is None
        and not by_operator
    )


def _now() -> str:
    return datetime.now(UTC).isoformat()
