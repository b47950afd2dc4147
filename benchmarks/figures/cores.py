"""How long a run would take on more cores: a model of the shares that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.sides.runs import Run, middle, wall_of

HOW = """
A run is its nodes, and what it does before the first and after the last of them. That part stays as it was measured.
The nodes' part is scaled by the ratio of what bounds it on the two machines: a node's CPU in all processes (engine,
worker, Temporal server, database) over as many lanes as there are cores, but not more than threads; or the worker's CPU
alone, since it is one process under one lock; whichever is more. So what nodes wait for beside CPU is scaled too, not
taken for nothing. dbt's own time on more cores is its CPU time, where that is less than its wall time: it has one lock.
"""


@dataclass(frozen=True)
class Modelled:
    """Wall times on the other machine, in seconds."""

    wall: float
    cli_wall: float


def model(
    workflow: Sequence[Run], cli: Sequence[Run], nodes: int, threads: int, cores: int, more_cores: int
) -> Modelled | None:
    """What the runs of both ways on `cores` would take on `more_cores`; None where the runs had no nodes.

    `HOW` says how it is computed. A database whose CPU was not measured counts as none.
    """
    fixed = middle(workflow, "fixed")
    shares = [middle(workflow, part) or 0.0 for part in ("engine_cpu", "worker_cpu", "temporal_cpu", "postgres_cpu")]
    of_worker = shares[1]
    if fixed is None or not sum(shares):
        return None

    def bound(lanes: int) -> float:
        return max(of_worker, sum(shares) / min(lanes, threads)) / nodes

    wall = wall_of(workflow)
    fixed = min(fixed, wall)
    scaled = (wall - fixed) * bound(more_cores) / bound(cores)
    of_cli = wall_of(cli)
    return Modelled(fixed + scaled, min(of_cli, middle(cli, "cli_cpu") or of_cli))
