"""When each node of a plan may start: a state machine without clock or I/O, the same on every replay.

A node starts when everything in its `depends_on` has ended, at most `max_running` at once. Which of the ready ones
starts first is the queue's order (`ready_queue.py`), by default dbt's own, on which projects lean.

Whom an ending dooms to be skipped is said in `doom.py`; the rest is dbt's too (dbt/task/runnable.py, 1.10 to 1.12):

- An ephemeral model takes its turn, as in dbt's queue, although it has no result: what waits for it is ready then. It
  is compiled before the node that starts next, or skipped, and whoever waits for it is skipped behind it.
- A skipped node is reported at its turn: in dbt's order when it would have started, else when its parents have ended.
- With fail-fast, the run ends early after an `error`, `fail` or `partial success`; a command that ends at its first
  error does after an `error`. dbt looks at that when its queue hands out a node, so what is ready by then still runs:
  the end comes when a further node becomes ready (it is not run), or, with fail-fast, when the queue has handed out
  all. A model is handed out together with its unit tests.

`cancelled` has no word in dbt (there, a cancelled query is an error), and counts like `error`.

An operator may hold a node, have it skipped or accepted before its turn, and open it again after its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from copy import copy
from typing import Any

from dbt_temporal.domain.results import NodeStatus
from dbt_temporal.domain.run.doom import Doom
from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo
from dbt_temporal.domain.run.ready_queue import ReadyQueue
from dbt_temporal.domain.run.turns import (
    FAIL_FAST_REASON,
    FIRST_ERROR_REASON,
    SKIP_ORDERED_REASON,
    Order,
    SkippedNode,
    Turn,
)

FAILURES = frozenset({"error", "fail", "partial success"})
_PROGRESS = (
    "_running", "_occupied", "_paused", "_ended", "_words", "_failed", "_erred", "_passed", "_passed_since_start",
    "_rest", "_orders", "_set_aside", "_stopped",
)  # fmt: skip
"""What of a scheduler's state is plain data."""


class Scheduler:
    """Schedules the nodes of one plan.

    Args:
        nodes: the plan's nodes; their order breaks ties where the longest path decides.
        ephemerals: the plan's ephemeral models.
        command: dbt's command, which decides what a failed test means; None where none is skipped for another one:
            whoever runs them says of each that it is.
        max_running: how many nodes may run at once (dbt's threads).
        fail_fast: end early after the first failure.
        ends_on_error: end early after the first error.
        first_come: start nodes in dbt's order.
        at_once: end with the failure itself, by fail-fast alone, as runs of earlier versions did.

    Raises:
        DbtTemporalError: of type Configuration, where the plan has a cycle or an unknown node.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeInfo],
        *,
        ephemerals: Mapping[str, EphemeralTurn] | None = None,
        command: str | None,
        max_running: int,
        fail_fast: bool = False,
        ends_on_error: bool = False,
        first_come: bool = False,
        at_once: bool = False,
    ) -> None:
        self._nodes = nodes
        self._command = command
        self._max_running = max(1, max_running)
        self._fail_fast = fail_fast
        self._ends_on_error = ends_on_error
        self._at_once = at_once
        self._ephemerals = ephemerals or {}
        self._ready = ReadyQueue(nodes, self._ephemerals, first_come=first_come)
        self._children, self._followers = self._ready.children, self._ready.followers
        self._waiting_for: dict[str, int] = {}
        self._running: dict[str, None] = {}
        self._occupied, self._paused = 0, False
        self._ended: dict[str, NodeStatus] = {}
        self._passed: dict[str, None] = {}
        self._passed_since_start: list[str] = []
        self._doom = Doom(nodes, self._ephemerals, self._followers, command)
        self._words: dict[str, str] = {}
        self._failed = self._erred = False
        self._rest: dict[str, None] = {}
        self._orders: dict[str, Order] = {}
        self._set_aside: dict[str, None] = {}
        self._stopped: str | None = None

    @property
    def done(self) -> bool:
        """Whether every node has ended."""
        return len(self._ended) == len(self._nodes)

    @property
    def has_more(self) -> bool:
        """Whether nodes have not had their turns yet."""
        return len(self._ended) + len(self._running) < len(self._nodes)

    @property
    def running(self) -> list[str]:
        """The nodes that run now, in the order in which they started."""
        return list(self._running)

    @property
    def stopped(self) -> str | None:
        """The reason for which nothing starts any more; where it is one of ENDS_EARLY, dbt cancels what runs."""
        return self._stopped

    def start(self) -> Turn:
        """The first nodes to run. Called once."""
        for unique_id in self._count_anew():
            self._ready.push(unique_id)
        return self._turn()

    def complete(self, unique_id: str, status: NodeStatus, dbt_status: str | None = None) -> Turn:
        """Takes note that a running node has ended, and says what follows.

        Args:
            unique_id: the node.
            status: how it ended, in the contract's words.
            dbt_status: dbt's own word, which tells a failed test from an error; derived from `status` where None.

        Raises:
            ValueError: the node was not running.
        """
        if unique_id not in self._running:
            raise ValueError(f"{unique_id} is not running")
        del self._running[unique_id]
        turn = Turn()
        word = "error" if status == "cancelled" else dbt_status or status
        self._words[unique_id] = word
        if self._nodes[unique_id].in_queue:
            self._failed, self._erred = self._failed or word in FAILURES, self._erred or word == "error"
        if self._stopped or (self._at_once and self._fail_fast and self._failed):
            self._ended[unique_id] = status
            turn.skipped = [] if self._stopped else self.skip_rest(FAIL_FAST_REASON)
            return turn
        if word == "skipped":  # by dbt, for an ephemeral model that failed: so is all below that
            self._doom.spread(unique_id)
        self._finish(unique_id, status, word, turn)
        self._fill(turn)
        return turn

    def occupy(self, threads: int) -> Turn:
        """Takes note that a running node has so many more threads (or fewer), and says what may start now."""
        self._occupied += threads
        return self._turn()

    def pause(self, value: bool) -> Turn:
        """Has nothing more start, or goes on with what may start now."""
        self._paused = value
        return self.occupy(0)

    def order(self, unique_ids: Collection[str], order: Order | None) -> Turn:
        """Takes an operator's word on nodes whose turn has not come, or takes it back (None); says what may start."""
        for unique_id in unique_ids:
            self._orders.pop(unique_id, None)
            if order is not None:
                self._orders[unique_id] = order
            if order != "hold" and unique_id in self._set_aside:
                del self._set_aside[unique_id]
                if not self._waiting_for[unique_id]:  # else what is above it was opened again
                    self._ready.push(unique_id)
        return self._turn()

    def ordered(self, unique_id: str) -> bool:
        """Whether an operator has said something of a node before its turn."""
        return unique_id in self._orders

    @property
    def held(self) -> list[str]:
        """Nodes whose turn has come, and that wait for an operator's word."""
        return list(self._set_aside)

    def reopen(self, unique_ids: Collection[str]) -> list[str]:
        """Has nodes that have ended take their turns again, and with them what was skipped for them, or for the end.

        Returns:
            all that have not ended any more, in the order in which they had; `order` says what may start.
        """
        below = self._doom.below(unique_ids)
        open_again = [
            unique_id
            for unique_id, status in self._ended.items()
            if unique_id in unique_ids or (status == "skipped" and (unique_id in below or unique_id in self._rest))
        ]
        anew = {*open_again, *(unique_id for unique_id in below if unique_id in self._ephemerals)}
        for unique_id in anew:
            for past in (self._ended, self._words, self._passed):
                past.pop(unique_id, None)
        words = {word for unique_id, word in self._words.items() if self._nodes[unique_id].in_queue}
        self._failed, self._erred = not FAILURES.isdisjoint(words), "error" in words
        self._rest, self._stopped = {}, None
        self._doom.take_back(anew)
        self._ready.refill(self._count_anew(), anew)
        return open_again

    @property
    def room(self) -> int:
        """How many threads are free for what is to start."""
        return 0 if self._paused else self._max_running - len(self._running) - self._occupied

    def skip_rest(self, reason: str) -> list[SkippedNode]:
        """Ends every node that has not started as skipped, in plan order; what runs goes on."""
        self._stopped = reason
        self._ready.clear()
        rest = [uid for uid in self._nodes if uid not in self._ended and uid not in self._running]
        for unique_id in rest:
            self._ended[unique_id] = "skipped"
            self._rest[unique_id] = None
        return [SkippedNode(unique_id, reason) for unique_id in rest]

    def set_fail_fast(self, value: bool) -> list[SkippedNode]:
        """Turns fail-fast on or off. Turned on after a failure, it ends the run now, as if it had always been on."""
        self._fail_fast = value
        return self.skip_rest(FAIL_FAST_REASON) if value and self._failed and not self._stopped else []

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues."""
        return {
            "settings": {
                "command": self._command,
                "max_running": self._max_running,
                "fail_fast": self._fail_fast,
                "ends_on_error": self._ends_on_error,
                "at_once": self._at_once,
                "first_come": self._ready.first_come,
            },
            "ready": self._ready.snapshot(),
            "progress": {name: copy(getattr(self, name)) for name in _PROGRESS},
            "doom": self._doom.snapshot(),
        }

    @classmethod
    def restore(
        cls,
        nodes: Mapping[str, NodeInfo],
        snapshot: Mapping[str, Any],
        ephemerals: Mapping[str, EphemeralTurn] | None = None,
    ) -> Scheduler:
        """A scheduler that continues where the snapshot was taken. What ran then still counts as running."""
        scheduler = cls(nodes, ephemerals=ephemerals, **snapshot["settings"])
        vars(scheduler).update({name: copy(snapshot["progress"][name]) for name in _PROGRESS})
        scheduler._doom.restore(snapshot["doom"])
        scheduler._ready.restore(snapshot["ready"], scheduler._count_anew())
        return scheduler

    def _count_anew(self) -> list[str]:
        """Counts what each node waits for, and returns those that wait for nothing and have not had their turn."""
        past = {**self._ended, **self._passed}
        waiting_for = Counter(
            follower for above, below in self._followers.items() if above not in past for follower in below
        )
        self._waiting_for = {unique_id: waiting_for[unique_id] for unique_id in self._followers}
        gone = {**past, **self._running, **self._set_aside}
        return [unique_id for unique_id, count in self._waiting_for.items() if count == 0 and unique_id not in gone]

    def _turn(self) -> Turn:
        turn = Turn()
        if not self._stopped:
            self._fill(turn)
        return turn

    def _fill(self, turn: Turn) -> None:
        while self._ready and self.room > 0:
            unique_id = self._ready.pop()
            order = self._orders.get(unique_id)
            if order == "hold":
                self._set_aside[unique_id] = None
            elif unique_id in self._ephemerals:
                passes = unique_id not in self._doom
                if passes:
                    self._passed_since_start.append(unique_id)
                    self._doom.passes(unique_id)
                status: NodeStatus = "success" if passes else "skipped"
                self._finish(unique_id, status, status, turn)
            elif order == "accept":
                turn.accepted.append(unique_id)
                self._finish(unique_id, "success", "success", turn)
            elif unique_id in self._doom or order == "skip":
                if unique_id not in self._doom:
                    self._doom.spread(unique_id)
                by_order = SkippedNode(unique_id, SKIP_ORDERED_REASON)
                turn.skipped.append(self._doom.skipped(unique_id, self._ended) or by_order)
                self._finish(unique_id, "skipped", "skipped", turn)
            else:
                self._running[unique_id] = None
                turn.start.append(unique_id)
                if self._passed_since_start:
                    turn.ephemerals[unique_id] = self._passed_since_start
                    self._passed_since_start = []

    def _finish(self, unique_id: str, status: NodeStatus, word: str, turn: Turn) -> None:
        """Ends a node, and the run with it where there is a reason to and dbt would look for one by now."""
        reason = FIRST_ERROR_REASON if self._erred and self._ends_on_error else None
        reason = FAIL_FAST_REASON if self._failed and self._fail_fast else reason
        gives_out = self._end(unique_id, status, word, turn, until_ready=reason is not None)
        if reason is not None and (gives_out or (reason == FAIL_FAST_REASON and self._all_handed_out())):
            turn.skipped += self.skip_rest(reason)

    def _all_handed_out(self) -> bool:
        """Whether what has not ended runs, is ready, or waits for unit tests of its own alone."""
        return all(
            self._ready.is_unit_test(unique_id)
            for unique_id, followers in self._followers.items()
            if followers and unique_id not in self._ended and unique_id not in self._passed
        )

    def _end(self, unique_id: str, status: NodeStatus, word: str, turn: Turn, *, until_ready: bool) -> bool:
        """Ends a node, and with it every doomed node whose turn has come by that.

        Returns:
            whether dbt's queue has a further node to hand out; with `until_ready`, nothing is done about it.
        """
        if unique_id in self._ephemerals:
            self._passed[unique_id] = None
        else:
            self._ended[unique_id] = status
        self._ready.next_arrivals()
        ending, begun = [(unique_id, word)], (self._ended, self._passed, self._running, self._set_aside)
        for ended_id, ended_word in ending:
            self._doom.ended(ended_id, ended_word)
            for child in self._followers[ended_id]:
                self._waiting_for[child] -= 1
                if self._waiting_for[child] or any(child in each for each in begun):
                    continue
                if until_ready and not self._ready.is_unit_test(ended_id):
                    return True
                skip = None if self._ready.first_come else self._doom.skipped(child, self._ended)
                if skip is not None and self._orders.get(child) is None:
                    turn.skipped.append(skip)
                    self._ended[child] = "skipped"
                    ending.append((child, "skipped"))
                else:
                    self._ready.push(child, after=ended_id)
        return False
