"""How the nodes of a run stand: by what the run has said of other workers, and by what processes here have told since.

Pure, but for what processes go on to tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dbt_temporal.adapters.dbt_v2.processes.choosing import State, state_of
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.domain.results import NodeStatus

_STATES: Mapping[NodeStatus, State] = {"success": "good", "skipped": "skipped"}


class Standing:
    """Of one run on this worker.

    Attributes:
        stale: the last process before the run was elsewhere; 0 where there was none.
    """

    def __init__(self) -> None:
        self.stale = 0
        self._said: dict[str, State] = {}
        self._since = 0

    def adopt(
        self, ended: Mapping[str, NodeStatus], processes: Sequence[V2Process], *, was_elsewhere: bool = True
    ) -> None:
        """Takes in how nodes have ended as far as the run knows, which counts before what these processes have told.

        Args:
            ended: the nodes that have.
            processes: those until now.
            was_elsewhere: whether others may have run on another machine since.
        """
        self._since = processes[-1].number if processes else 0
        self.stale = self._since if was_elsewhere else 0
        self._said |= {unique_id: _STATES.get(status, "bad") for unique_id, status in ended.items()}

    def keep_back(self, unique_ids: Iterable[str], processes: Sequence[V2Process]) -> None:
        """Takes nodes that may have run elsewhere for failed: they are begun when they are asked for, not before."""
        self._since = processes[-1].number if processes else 0
        self._said |= dict.fromkeys(unique_ids, "bad")

    def states(self, processes: Sequence[V2Process]) -> dict[str, State]:
        """By unique_id; nodes that are not in it are open."""
        before = [process for process in processes if process.number <= self._since]
        return {**_told(before), **self._said, **_told(processes[len(before) :])}


def _told(processes: Collection[V2Process]) -> dict[str, State]:
    return {
        unique_id: state_of(told, ended=process.ended.is_set())
        for process in processes
        for unique_id, told in process.told.nodes.items()
    }
