"""What an ended node, or process, comes to for an attempt at a node."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.told import Told
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

MAX_DEATHS = 3
"""A node that waits while so many processes die beside it fails with them."""


@dataclass(frozen=True)
class Answer:
    """What a process has of a node. `told` is None where fail-fast has kept it from beginning, or ended it."""

    process: V2Process
    told: Told | None


class Judge(Protocol):
    """What a course asks of whoever knows what endings mean."""

    def ends_with_failures(self) -> bool:
        """Whether dbt ends all at the first failure."""

    def may_be_mended(self, told: Told) -> bool:
        """Whether another attempt may mend how a node has ended."""

    def failure_before_nodes(self, process: V2Process) -> DbtTemporalError | None:
        """Why a process that has ended has begun none of its nodes; None where it has, or nothing went wrong."""

    def is_locked_out(self, process: V2Process) -> bool:
        """Whether that is because another process has the database."""


class Verdicts:
    """Of one run; `judge` says what endings mean, and `nodes_of` which nodes a process was started for."""

    def __init__(self, judge: Judge, nodes_of: Callable[[V2Process], Collection[str]]) -> None:
        self._judge = judge
        self._nodes_of = nodes_of

    def of(self, process: V2Process, unique_id: str, deaths: int, *, again: bool) -> Answer | None:
        """The answer to whoever waits for a node; None where a further process has to run it.

        Args:
            process: the node, or all of it, has ended.
            unique_id: the node.
            deaths: how many processes have died while it was waited for.
            again: whether the node may be begun once more where its process was ended for another one's sake.

        Raises:
            DbtTemporalError: the node's attempt is lost, or was not begun because the process failed before.
        """
        told = process.told.nodes.get(unique_id)
        if told is not None and not told.cancelled and (told.finished or told.error):
            return Answer(process, told)  # an error alone: its task panicked, and dbt has no result of it
        if self._ended_by_failure(process):
            return Answer(process, None)
        if process.interrupted and again:
            return None  # that is no attempt which counts
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
        if not self._stopped_short(process) or all(self._judge.may_be_mended(each) for each in process.failed):
            return False
        return self._judge.ends_with_failures()  # if not, it was ended from outside

    def _stopped_short(self, process: V2Process) -> bool:
        """Whether a process has ended for a failure, with nodes left."""
        return bool(process.failed) and any(not process.has_finished(each) for each in self._nodes_of(process))
