"""One run of a project, by a workflow or by the dbt CLI, and what each part of it costs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figure import Table
from benchmarks.sides.histories import History, read_history
from benchmarks.sides.memory import peak_memory
from benchmarks.sides.processes import BIN, at_rest, own_cpu, tree_cpu, waited_for
from benchmarks.sides.temporal import Worker


@dataclass(frozen=True)
class Run:
    """One run: CPU is user and system time in seconds, memory the most at once in bytes; None is not there.

    Attributes:
        fixed: of the wall time, what was before the first node was scheduled and after the last one completed.
        steps: seconds of each step that is no node, by its name.
    """

    wall: float
    nodes: int
    worker_cpu: float | None = None
    engine_cpu: float | None = None
    temporal_cpu: float | None = None
    postgres_cpu: float | None = None
    cli_cpu: float | None = None
    client_cpu: float | None = None
    fixed: float | None = None
    steps: dict[str, float] | None = None
    events: int | None = None
    history_bytes: int | None = None
    most_events: int | None = None
    most_bytes: int | None = None
    executions: int | None = None
    largest_payload: int | None = None
    actions: int | None = None
    worker_memory: int | None = None
    engine_memory: int | None = None
    cli_memory: int | None = None

    @property
    def cpu(self) -> float:
        """Of all that works for the run but the Temporal server and the database, in seconds."""
        return sum(part or 0.0 for part in (self.worker_cpu, self.engine_cpu, self.cli_cpu, self.client_cpu))


def middle(runs: Iterable[Run], part: str) -> float | None:
    """The median of one part of the runs, in its own unit; None where they do not have it."""
    values: list[float] = [value for run in runs if (value := getattr(run, part)) is not None]
    return median(values) if values else None


def course_of(runs: Sequence[Run]) -> Iterator[Table]:
    """Where the wall time of runs goes, one part after the other, in medians; nothing where no run knows."""
    known = [run for run in runs if run.steps is not None and run.fixed is not None]
    if not known:
        return
    names = list(dict.fromkeys(name for run in known for name in run.steps or ()))
    steps = {name: median((run.steps or {}).get(name, 0.0) for run in known) for name in names}
    wall = wall_of(known)
    nodes = median(run.wall - (run.fixed or 0.0) for run in known)
    parts = {**steps, "nodes, from the first to the last": nodes}
    parts["between them, and to the client and back"] = wall - sum(parts.values())
    cells = [[name, f"{seconds:.2f}", f"{seconds / wall:.0%}"] for name, seconds in parts.items()]
    yield "where the wall time of a run goes", [["", "seconds", "share"], *cells]


def wall_of(runs: Iterable[Run]) -> float:
    """The median of the wall times, in seconds."""
    return median(run.wall for run in runs)


def quiet(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of both sides: no usage statistics on either."""
    return {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **(more or {})}


async def run_by_workflow(
    worker: Worker,
    postgres: subprocess.Popen[bytes] | None = None,
    *,
    command: str = "run",
    select: str | None = None,
) -> Run:
    """One `dbt_run` workflow, from submitting it to holding its result.

    Raises:
        BenchmarkError: where it does not succeed.
    """
    before = await _used(worker, postgres)
    async with peak_memory(worker.process.pid) as peak:
        began = time.perf_counter()
        handle = await worker.submit({"command": command, "select": select})
        output = await worker.outcome(handle)
        wall = time.perf_counter() - began
    after = await _used(worker, postgres)
    history = await read_history(worker.client, handle.id, handle.first_execution_run_id)
    return Run(
        wall=wall,
        nodes=len(output["node_results"]),
        worker_cpu=after.worker - before.worker,
        engine_cpu=after.engine - before.engine,
        temporal_cpu=after.temporal - before.temporal,
        postgres_cpu=None if postgres is None else after.postgres - before.postgres,
        fixed=_fixed(wall, history),
        steps=history.steps,
        events=history.events,
        history_bytes=history.size,
        most_events=history.most_events,
        most_bytes=history.most_size,
        executions=history.executions,
        largest_payload=history.largest_payload,
        actions=history.actions,
        worker_memory=peak.worker,
        engine_memory=peak.engine,
    )


def _fixed(wall: float, history: History) -> float | None:
    if history.nodes_began is None or history.nodes_ended is None:
        return None
    return max(wall - (history.nodes_ended - history.nodes_began), 0.0)


async def run_by_command(worker: Worker, command: str) -> Run:
    """One `dbt-temporal` command that submits a run, the start of its Python included."""
    before = await _used(worker, None)
    used = waited_for([str(BIN / "dbt-temporal"), command], worker.environment, worker.log.parent)
    after = await _used(worker, None)
    return Run(
        wall=used.wall,
        nodes=0,
        worker_cpu=after.worker - before.worker,
        engine_cpu=after.engine - before.engine,
        temporal_cpu=after.temporal - before.temporal,
        client_cpu=used.cpu,
    )


async def run_by_cli(
    project: Path,
    environment: Mapping[str, str],
    postgres: subprocess.Popen[bytes] | None = None,
    *,
    command: Sequence[str] = ("run",),
    select: str | None = None,
    program: Path = BIN / "dbt",
) -> Run:
    """One command of the dbt CLI, artifacts and partial parse in the project's own target folder."""
    words = [str(program), *command, "--profiles-dir", str(project)]
    words += [] if select is None else ["--select", select]
    before = 0.0 if postgres is None else await at_rest(postgres)
    used = waited_for(words, environment, project)
    return Run(
        wall=used.wall,
        nodes=sum(not each["unique_id"].startswith("operation.") for each in results_of_cli(project)),
        cli_cpu=used.cpu,
        postgres_cpu=None if postgres is None else await at_rest(postgres) - before,
        cli_memory=used.memory,
    )


def results_of_cli(project: Path) -> list[dict[str, Any]]:
    """Of the CLI's last command that ran nodes of the project, hooks included; none where none did."""
    path = project / "target" / "run_results.json"
    results: list[dict[str, Any]] = json.loads(path.read_text())["results"] if path.exists() else []
    return results


@dataclass(frozen=True)
class _Used:
    """CPU time until now, in seconds."""

    worker: float
    engine: float
    temporal: float
    postgres: float


async def _used(worker: Worker, postgres: subprocess.Popen[bytes] | None) -> _Used:
    """What was used until now, once all but the Temporal server rest: that one never does."""
    await at_rest(worker.process, *([] if postgres is None else [postgres]))
    own = own_cpu(worker.process)
    return _Used(
        worker=own,
        engine=tree_cpu(worker.process) - own,
        temporal=tree_cpu(worker.server.process),
        postgres=0.0 if postgres is None else tree_cpu(postgres),
    )
