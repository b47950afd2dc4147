"""A worker program that tells all it can: JSON log, Prometheus, traces, lineage; and keeps no workflow in memory."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.client import Client

from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from tests.integration.consumers import collector as lineage
from tests.integration.programs import EXAMPLE, PROJECTS, Desk, Program, started
from tests.integration.servers import free_port
from tests.integration.temporal.otlp_collector import Collector, collecting

SECRET = "no_hook_log"
"""A value of the run's `env` that a database error repeats."""
HOOK_QUEUE = "nobody-serves-this"


@dataclass
class Sample:
    """One line of what Prometheus reads."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass
class ObservedWorker:
    """The worker, where its metrics and its lineage are, and the ids of the runs that it has done."""

    desk: Desk
    program: Program
    address: str
    collector: Collector
    lineage: lineage.Collector
    workflow_ids: list[str] = field(default_factory=list)

    def scrape(self) -> str:
        """What Prometheus reads."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def samples(self) -> list[Sample]:
        """The same, line by line."""
        return read_samples(self.scrape())

    def log(self) -> list[dict[str, Any]]:
        """All lines of the log so far; each must be JSON."""
        return [json.loads(line) for line in self.program.output.splitlines()]


def read_samples(text: str) -> list[Sample]:
    """Reads Prometheus' text format, as far as the SDK writes it."""
    found = []
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        assert match is not None, line
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
        found.append(Sample(match[1], labels, float(match[3])))
    return found


@contextmanager
def observed_worker(folder: Path, temporal_address: str, task_queue: str) -> Iterator[ObservedWorker]:
    """The worker while the block runs."""
    desk = Desk(folder)
    address = f"127.0.0.1:{free_port()}"
    projects = [desk.project(EXAMPLE), desk.project(PROJECTS / "with_failures")]
    with collecting() as collector, lineage.collecting() as told:
        desk.env |= {
            "TEMPORAL_ADDRESS": temporal_address,
            "TEMPORAL_TASK_QUEUE": task_queue,
            "DBT_PROJECT_DIRS": ",".join(map(str, projects)),
            "DBT_TEMPORAL_LOG_FORMAT": "json",
            "TEMPORAL_METRICS_EXPORTER": "prometheus",
            "TEMPORAL_METRICS_PROMETHEUS_ADDR": address,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OPENLINEAGE_URL": told.url,
            # Every workflow task replays its run from the beginning: nothing may be counted or traced twice.
            "WORKER_MAX_CACHED_WORKFLOWS": "0",
        }
        with started(desk, "worker") as program:
            program.says("Working on task queue")
            yield ObservedWorker(desk, program, address, collector, told)


async def do_runs(worker: ObservedWorker, client: Client, task_queue: str) -> None:
    """A run that passes, with a hook, one with failures of many kinds, with a secret and a lost hook, and sources'
    freshness."""
    gateway = TemporalRunGateway(client, task_queue)
    listing = {"command": "list", "project": "jaffle_shop", "hooks": {}}
    passed = {
        "project": "jaffle_shop",
        "select": "+path:models/staging",
        "hooks": {"pre_run": [{"workflow_type": "dbt_run", "task_queue": task_queue, "input": listing}]},
    }
    lost = {"workflow_type": "tell_somebody", "task_queue": HOOK_QUEUE, "fire_and_forget": True}
    failed = {
        "project": "with_failures",
        "select": "+stg_items +compile_error+ missing_relation",
        "env": {"DBT_ENV_SECRET_NAME": SECRET},
        "hooks": {"on_failure": [lost]},
    }
    for run_input in (passed, failed, {"project": "jaffle_shop", "command": "source-freshness"}):
        run = await gateway.submit(run_input, f"observed-{uuid4().hex[:8]}")
        await run.outcome()
        worker.workflow_ids.append(run.workflow_id)
