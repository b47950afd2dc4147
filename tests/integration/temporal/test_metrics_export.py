"""Metrics leave by OTLP, by either protocol; an exporter that cannot start says why; a dead collector harms nothing."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.telemetry.metrics import COUNTERS, GAUGES, HISTOGRAMS, PREFIX
from dbt_temporal.adapters.temporal.telemetry.metrics_export import build_runtime
from dbt_temporal.adapters.temporal.telemetry.tracing import CLOSE_SECS
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import node, plan
from tests.integration.programs import EXAMPLE, PROJECTS, Desk, eventually, started
from tests.integration.run_harness import RunHarness
from tests.integration.servers import free_port, wait_for
from tests.integration.temporal.otlp_collector import collecting

STEPS = "dbt_temporal.adapters.temporal"
"""Who logs what becomes of a run's steps."""


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_collector_gets_the_metrics(temporal_address: str, task_queue: str, protocol: str) -> None:
    with collecting() as collector:
        environ = {
            "TEMPORAL_METRICS_EXPORTER": "otlp",
            "TEMPORAL_METRICS_OTLP_URL": collector.grpc_url if protocol == "grpc" else collector.http_url,
            "TEMPORAL_METRICS_OTLP_PROTOCOL": protocol,
            "TEMPORAL_METRICS_OTLP_HEADERS": "x-tenant=shop",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        runtime = build_runtime(read_settings(environ).metrics)
        client = await connect(ConnectionSettings(address=temporal_address), runtime=runtime)
        await run_once(client, task_queue)

        async def arrived() -> bool:
            wanted = {"dbt_temporal_nodes", "dbt_temporal_node_seconds", "temporal_request"}
            return wanted <= collector.metrics and collector.metric_exports > 5

        await wait_for(arrived, what="metrics at the collector")
        assert collector.headers["x-tenant"] == "shop"


async def run_once(client: Client, task_queue: str) -> None:
    async with AsyncExitStack() as stack:
        runs = RunHarness(client, task_queue, stack)
        runs.engine.run_plan = plan(node("a"))
        assert (await runs.run()).ending is Ending.COMPLETED


WATCHED_SOURCE = """
sources:
  - name: watched
    config: {loaded_at_query: select current_timestamp, freshness: {error_after: {count: 1, period: day}}}
    tables: [{name: by_query}]
"""


def test_a_worker_pushes_each_metric_of_ours_and_its_log_as_text_says_which_run(
    temporal_address: str, task_queue: str, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    project = desk.project(PROJECTS / "with_failures")
    (project / "models" / "watched.yml").write_text(WATCHED_SOURCE)
    with collecting() as collector:
        desk.env |= {
            "TEMPORAL_ADDRESS": temporal_address,
            "TEMPORAL_TASK_QUEUE": task_queue,
            "DBT_PROJECT_DIR": str(project),
            "TEMPORAL_METRICS_EXPORTER": "otlp",
            "TEMPORAL_METRICS_OTLP_URL": collector.grpc_url,
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        with started(desk, "worker") as program:
            program.says("Working on task queue")
            workflow_id = f"run-{task_queue}"
            assert desk.command("run", "--select", "compile_error", "--workflow-id", workflow_id).returncode == 1
            assert desk.command("list", "--workflow-id", workflow_id).returncode == 0
            assert desk.command("source", "freshness", "--workflow-id", workflow_id).returncode == 0
            wanted = {PREFIX + name for name in (*COUNTERS, *HISTOGRAMS, *GAUGES)}
            eventually(lambda: wanted <= collector.metrics, lambda: f"{sorted(wanted - collector.metrics)}")
            program.signal(signal.SIGTERM)
            assert program.ended() == 0
    of_run = [line for line in program.output.splitlines() if f" {STEPS}." in line]
    needed = ("invocation_id=", "project=with_failures", "attempt=1", f"workflow_id={workflow_id}")
    assert [line for line in of_run if not all(f" {field}" in line.partition(" |")[2] for field in needed)] == []
    assert {"plan_project", "model:compile_error", "end_run"} <= {line.split(": ")[1].split()[0] for line in of_run}


@pytest.mark.parametrize(
    ("variables", "received", "printed"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{grpc}"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{http}", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{grpc}", "OTEL_TRACES_EXPORTER": "otlp"}, True, False),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "{grpc}",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{http}/v1/traces",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            True,
            False,
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{grpc}", "OTEL_TRACES_EXPORTER": "console"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{grpc}", "OTEL_TRACES_EXPORTER": "none"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{grpc}", "OTEL_SDK_DISABLED": "true"}, False, False),
    ],
)
def test_spans_go_where_the_standard_variables_say(
    temporal_address: str,
    task_queue: str,
    tmp_path: Path,
    variables: dict[str, str],
    received: bool,
    printed: bool,
) -> None:
    desk = Desk(tmp_path)
    with collecting() as collector:
        desk.env |= {"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_TASK_QUEUE": task_queue}
        # Spans leave as they end, and not all at the command's end, which waits for them only for a while.
        desk.env["OTEL_BSP_SCHEDULE_DELAY"] = "100"
        places = {"grpc": collector.grpc_url, "http": collector.http_url}
        desk.env |= {name: value.format(**places) for name, value in variables.items()}
        done = desk.command("build", "--no-wait")
        assert done.returncode == 0, done.stderr
        assert [span.name for span in collector.spans] == ["submit dbt build"] * received
        assert ('"name": "submit dbt build"' in done.stderr) is printed
        assert len(done.stdout.splitlines()) == 1  # the workflow id, for a pipe


async def test_a_port_that_is_taken_is_told_with_its_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environ = {"TEMPORAL_METRICS_EXPORTER": "prometheus", "TEMPORAL_METRICS_PROMETHEUS_ADDR": address}
        with pytest.raises(DbtTemporalError, match=rf"TEMPORAL_METRICS_PROMETHEUS_ADDR='{address}'.*in use"):
            build_runtime(read_settings(environ).metrics)


def test_a_collector_that_is_down_holds_up_no_worker(temporal_address: str, task_queue: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.env |= {
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_TASK_QUEUE": task_queue,
        "DBT_PROJECT_DIR": str(desk.project(EXAMPLE)),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with started(desk, "worker") as program:
        program.says("Working on task queue")
        assert desk.command("build", "--select", "raw_customers").returncode == 0
        program.signal(signal.SIGTERM)
        program.says("Worker ended.")
        began = time.monotonic()
        assert program.ended() == 0
        # Beside that, the process ends, which takes its time on a busy machine.
        assert time.monotonic() - began < CLOSE_SECS + 25
