"""A run beside the one before it, of the same project, target and command."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from dbt_temporal.domain.report.model import Change, Comparison, ReportNode

MAX_CHANGES = 10
NOTEWORTHY_SECS = 0.1
"""A smaller difference is chance."""
KEPT_RUNS = 2


class RunSummary(BaseModel):
    """What is kept of a run for the next one: by unique_id, how it ended and how many seconds it took."""

    invocation_id: str
    ended_at: str
    elapsed: float
    nodes: dict[str, tuple[str, float]] = Field(default_factory=dict)


class LastRuns(BaseModel):
    """The newest runs, the newest first. The run itself may be there already: a step may be done twice."""

    runs: list[RunSummary] = Field(default_factory=list)

    def before(self, invocation_id: str) -> RunSummary | None:
        """The newest other run."""
        return next((run for run in self.runs if run.invocation_id != invocation_id), None)

    def and_then(self, run: RunSummary) -> LastRuns:
        """With another run."""
        others = [each for each in self.runs if each.invocation_id != run.invocation_id]
        return LastRuns(runs=[run, *others][:KEPT_RUNS])


def summary_of(nodes: Sequence[ReportNode], invocation_id: str, ended_at: str, elapsed: float) -> RunSummary:
    """What the next run compares itself with; of nodes that ran."""
    ran = [node for node in nodes if node.started is not None]
    outcomes: dict[str, tuple[str, float]] = {
        node.unique_id: (node.result.status, round(node.result.execution_time, 3)) for node in ran
    }
    return RunSummary(invocation_id=invocation_id, ended_at=ended_at, elapsed=elapsed, nodes=outcomes)


def compared(nodes: Sequence[ReportNode], before: RunSummary) -> Comparison:
    """A run's nodes beside those of the run before."""
    ran = [node for node in nodes if node.started is not None]
    known = [node for node in ran if node.unique_id in before.nodes]
    well = [
        Change(node, before.nodes[node.unique_id][1])
        for node in known
        if node.result.status == "success" and before.nodes[node.unique_id][0] == "success"
    ]
    noteworthy = [change for change in well if abs(change.difference) >= NOTEWORTHY_SECS]
    same_nodes = len(known) == len(ran) == len(before.nodes)
    return Comparison(
        invocation_id=before.invocation_id,
        ended_at=before.ended_at,
        elapsed=before.elapsed if same_nodes else None,
        common=len(well),
        seconds=sum(change.node.result.execution_time for change in well),
        before=sum(change.before for change in well),
        changes=sorted(noteworthy, key=lambda change: -abs(change.difference))[:MAX_CHANGES],
        newly_failed=[node for node in known if node.is_failed and before.nodes[node.unique_id][0] == "success"],
        mended=[
            node
            for node in known
            if node.result.status == "success" and before.nodes[node.unique_id][0] in ("error", "cancelled")
        ],
        added=len(ran) - len(known),
        gone=len(before.nodes) - len(known),
    )
