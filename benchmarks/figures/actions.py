"""What Temporal Cloud would bill: actions of a short node, and of each minute of a node that runs."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import Figure, Row, Table, shown
from benchmarks.progress import tell
from benchmarks.sides.databases import DuckDBFile, PostgresSchema, postgres_server
from benchmarks.sides.projects import Project, sleeping, view_name, views
from benchmarks.sides.runs import quiet, run_by_workflow
from benchmarks.sides.temporal import COMMANDS_TO_WORKERS, Worker, free_port, temporal_server

NODE_GOAL, MINUTE_GOAL = 1.2, 1.0
LOOK_SECS = 0.1
SEARCH_ATTRIBUTES = ("DbtProject", "DbtCommand", "DbtTarget", "DbtSelector", "DbtStatus")
"""Each change of them is an action, so that the server must know them."""
HEARTBEATS = re.compile(
    r'^temporal_request(?:_total)?\{[^}]*operation="RecordActivityTaskHeartbeat"[^}]*\} (?P<count>[\d.]+)', re.MULTILINE
)


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    nodes: int = field(default=200, metadata={"help": "views of the smaller run; the larger one has twice as many"})
    secs: float = field(default=190.0, metadata={"help": "of the node that runs, where the server tells of cancels"})
    secs_elsewhere: float = field(default=30.0, metadata={"help": "of the node that runs, where it does not"})
    heartbeat_secs: float = field(default=0.0, metadata={"help": "WORKER_HEARTBEAT_SECS; 0: the worker's default"})


@dataclass(frozen=True)
class OfRunning:
    """The heartbeats of one node that runs: how many, and the seconds from the first one to the last."""

    heartbeats: int
    secs: float

    @property
    def per_minute(self) -> float | None:
        """Those that followed the first one, which tells the process; None where none did."""
        # The seconds are as exact as the looks at the counter are often.
        return round((self.heartbeats - 1) * 60 / self.secs, 2) if self.heartbeats > 1 else None


@dataclass(frozen=True)
class Measured:
    """Actions in the histories of both runs of short nodes, and heartbeats with and without commands to workers."""

    fewer: int
    more: int
    told: OfRunning
    elsewhere: OfRunning


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Short nodes on DuckDB; the node that runs sleeps in PostgreSQL."""
    project = Project(folder / "short", DuckDBFile(folder / "short.duckdb"))
    project.write(views(2 * sizes.nodes), threads=4)
    async with (
        temporal_server(folder, search_attributes=SEARCH_ATTRIBUTES) as server,
        Worker.started(project.folder, quiet(), server, folder) as worker,
    ):
        chosen = " ".join(view_name(number) for number in range(sizes.nodes))
        fewer = await run_by_workflow(worker, select=chosen)
        more = await run_by_workflow(worker)
    tell("short nodes")
    with postgres_server(folder) as postgres:
        schema = PostgresSchema(postgres, f"bench_{secrets.token_hex(4)}")
        try:
            told = await _running(sizes.secs, sizes.heartbeat_secs, schema, folder / "told", COMMANDS_TO_WORKERS)
            tell("a running node, where the server tells of cancels")
            elsewhere = await _running(sizes.secs_elsewhere, sizes.heartbeat_secs, schema, folder / "elsewhere", ())
            tell("a running node, elsewhere")
        finally:
            schema.clear()
    return Measured(fewer.actions or 0, more.actions or 0, told, elsewhere)


async def _running(
    secs: float, heartbeat_secs: float, schema: PostgresSchema, folder: Path, dynamic_config: Sequence[str]
) -> OfRunning:
    """Counts the heartbeats of a run of a single node that takes so long."""
    port = free_port()
    settings = {"TEMPORAL_METRICS_EXPORTER": "prometheus", "TEMPORAL_METRICS_PROMETHEUS_ADDR": f"127.0.0.1:{port}"}
    if heartbeat_secs:
        settings["WORKER_HEARTBEAT_SECS"] = str(heartbeat_secs)
    project = Project(folder / "running", schema)
    project.write({"sleeper": sleeping(secs)}, threads=1)
    async with (
        temporal_server(folder, dynamic_config) as server,
        Worker.started(project.folder, quiet(settings), server, folder) as worker,
    ):
        return await _heartbeats(worker, port)


async def _heartbeats(worker: Worker, port: int) -> OfRunning:
    handle = await worker.submit({"command": "run"})
    running = asyncio.create_task(worker.outcome(handle))
    first = last = 0.0
    count = 0
    while not running.done():
        await asyncio.wait([running], timeout=LOOK_SECS)
        seen = await asyncio.to_thread(_heartbeats_of, port)
        if seen > count:
            last = time.monotonic()
            first = first or last
            count = seen
    await running
    return OfRunning(count, last - first)


def _heartbeats_of(port: int) -> int:
    """How many the worker has sent until now; none while it does not serve its metrics yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    return int(sum(float(found["count"]) for found in HEARTBEATS.finditer(text)))


def _per_node(sizes: Sizes, measured: Measured) -> float:
    """Of each further node."""
    return (measured.more - measured.fewer) / sizes.nodes


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """A short node's, and a minute's."""
    node, minute = _per_node(sizes, measured), measured.told.per_minute
    fixed = measured.fewer - node * sizes.nodes
    elsewhere = shown(measured.elsewhere.per_minute, decimals=1)
    unit = "actions"
    return [
        Row(
            "billable actions of a short node",
            f"{node:.2f}, and {fixed:.0f} of each run",
            goal=NODE_GOAL,
            value=node,
            unit=unit,
        ),
        Row(
            "billable actions of each minute of a running node",
            f"{shown(minute, decimals=2)}; {elsewhere} where the server does not tell workers of cancels",
            goal=MINUTE_GOAL,
            value=minute,
            unit=unit,
        ),
    ]


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """What was counted."""
    nodes: Mapping[int, int] = {sizes.nodes: measured.fewer, 2 * sizes.nodes: measured.more}
    yield "actions in the history", [["nodes", "actions"], *([str(each), str(nodes[each])] for each in nodes)]
    cells = [["", "heartbeats", "seconds from the first to the last"]]
    for name, found in (("server tells of cancels", measured.told), ("elsewhere", measured.elsewhere)):
        cells.append([name, str(found.heartbeats), f"{found.secs:.1f}"])
    yield "a running node", cells


FIGURE = Figure(
    name="actions",
    about="Billable actions of Temporal Cloud, out of histories and heartbeats.",
    sizes=Sizes(),
    small=Sizes(nodes=1, secs=4.5, secs_elsewhere=2.5, heartbeat_secs=1.0),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
