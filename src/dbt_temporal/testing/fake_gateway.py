"""A place for runs without a server: `FakeRunGateway` and the scripted `FakeRun`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dbt_temporal.application.ports.runs import Ending, Outcome, Snapshot, StoredRun
from dbt_temporal.domain.run.input import DbtRunInput


class FakeRun:
    """A run whose snapshots are scripted. It ends by `end`, or once its snapshots have all been seen.

    Attributes:
        cancels: how often it was asked to stop.
        terminated: the reason with which it was terminated, or None.
    """

    def __init__(self, snapshots: Sequence[Snapshot | None] = (), ends_with: Outcome | None = None) -> None:
        """A run.

        Args:
            snapshots: what it answers, one after the other; None is a worker that does not answer. After the last
                one nobody answers.
            ends_with: how it ends when they have been seen; None is a run that goes on.
        """
        self.workflow_id = "fake-run"
        self.cancels = 0
        self.terminated: str | None = None
        self._snapshots = list(snapshots)
        self._ends_with = ends_with
        self._ended: asyncio.Future[Outcome] | None = None

    def end(self, outcome: Outcome) -> None:
        """The run ends."""
        if not self._future.done():
            self._future.set_result(outcome)

    async def snapshot(self, *, with_nodes: bool, with_numbers: bool = False) -> Snapshot | None:
        """The next scripted snapshot."""
        del with_nodes, with_numbers
        snapshot = self._snapshots.pop(0) if self._snapshots else None
        if not self._snapshots and self._ends_with is not None:
            self.end(self._ends_with)
        return snapshot

    async def outcome(self) -> Outcome:
        """Waits for the end."""
        return await asyncio.shield(self._future)

    async def cancel(self) -> None:
        """Counts; the test says when the run has ended."""
        self.cancels += 1

    async def terminate(self, reason: str) -> None:
        """Ends the run."""
        self.terminated = reason
        self.end(Outcome(Ending.TERMINATED, message=reason))

    @property
    def _future(self) -> asyncio.Future[Outcome]:
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended


class FakeRunGateway:
    """Hands out one scripted run, and remembers what was submitted."""

    place = "the task queue 'fake'"

    def __init__(self, run: FakeRun, *, workers: bool = True) -> None:
        self.run = run
        self.workers = workers
        self.submitted: list[DbtRunInput] = []
        self.stored_run: StoredRun | None = None
        self.away = False

    async def submit(self, run_input: DbtRunInput, workflow_id: str) -> FakeRun:
        """Takes the run."""
        self.submitted.append(run_input)
        self.run.workflow_id = workflow_id
        return self.run

    async def invocation_id(self, workflow_id: str) -> str:
        """An id made of the workflow's."""
        return f"invocation of {workflow_id}"

    async def stored(self, workflow_id: str) -> StoredRun | None:
        """What the test says."""
        del workflow_id
        return self.stored_run

    async def answers(self) -> bool:
        """What the test says."""
        return not self.away

    async def has_workers(self) -> bool:
        """What the test says."""
        return self.workers
