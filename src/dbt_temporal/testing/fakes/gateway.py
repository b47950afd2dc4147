"""A place for runs without a server: `FakeRunGateway` and the scripted `FakeRun`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dbt_temporal.application.ports.runs import Ending, Outcome, Snapshot, StoredRun
from dbt_temporal.domain.errors import configuration_error
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

    async def snapshot(self, *, with_nodes: bool, with_events: bool = False) -> Snapshot | None:
        """The next scripted snapshot."""
        del with_nodes, with_events
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
        """Ends the run, unless it has ended."""
        if not self.ended:
            self.terminated = reason
            self.end(Outcome(Ending.TERMINATED, message=reason))

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    @property
    def _future(self) -> asyncio.Future[Outcome]:
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended


class FakeRunGateway:
    """Hands out one scripted run, and remembers what was submitted.

    Attributes:
        run: the one.
        workers: whether any has asked for work.
        submitted: the inputs, in order.
        stored_run: what `stored` answers.
        away: whether the server does not answer.
    """

    place = "the task queue 'fake'"

    def __init__(self, run: FakeRun, *, workers: bool = True) -> None:
        self.run = run
        self.workers = workers
        self.submitted: list[DbtRunInput] = []
        self.stored_run: StoredRun | None = None
        self.away = False
        self._known: set[str] = set()

    async def submit(self, run_input: DbtRunInput, workflow_id: str) -> FakeRun:
        """Takes the run, unless one of that id is running."""
        self._check()
        if workflow_id in self._known and not self.run.ended:
            raise configuration_error(f"a workflow with the id {workflow_id!r} is running already")
        self._known.add(workflow_id)
        self.submitted.append(run_input)
        self.run.workflow_id = workflow_id
        return self.run

    async def invocation_id(self, workflow_id: str) -> str:
        """An id made of the workflow's, of a run that was submitted."""
        self._check()
        if workflow_id not in self._known:
            raise configuration_error(f"{self.place}: cannot tell of the run {workflow_id!r}: there is none")
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

    def _check(self) -> None:
        if self.away:
            raise configuration_error(f"{self.place} does not answer: it is told to be away")
