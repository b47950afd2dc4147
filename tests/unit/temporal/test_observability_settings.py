"""The variables of log, metrics and traces: what they mean, and what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from temporalio.runtime import BufferedMetricUpdate, MetricBuffer, Runtime, TelemetryConfig

from dbt_temporal.adapters.temporal.telemetry.metrics import MeterTelemetry
from dbt_temporal.adapters.temporal.telemetry.metrics_export import parse_headers
from dbt_temporal.application.ports.telemetry import NodeEnded
from dbt_temporal.domain.results import Freshness
from dbt_temporal.entrypoints.dev.environment import DevOptions, dev_environment
from dbt_temporal.entrypoints.settings import SettingsError, read_settings

COLLECTOR = "http://collector:4317"


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"DBT_TEMPORAL_LOG_FORMAT": "xml"}, r"DBT_TEMPORAL_LOG_FORMAT='xml': must be text or json"),
        ({"DBT_TEMPORAL_LOG_LEVEL": "loud"}, r"DBT_TEMPORAL_LOG_LEVEL='loud': must be debug, info, warning or error"),
        ({"TEMPORAL_METRICS_EXPORTER": "statsd"}, r"TEMPORAL_METRICS_EXPORTER='statsd': must be none, prometheus or"),
        ({"TEMPORAL_METRICS_EXPORTER": "otlp"}, r"TEMPORAL_METRICS_OTLP_URL: must be set"),
        ({"TEMPORAL_METRICS_PROMETHEUS_ADDR": "9464"}, r"TEMPORAL_METRICS_PROMETHEUS_ADDR='9464': give host:port"),
        ({"TEMPORAL_METRICS_PROMETHEUS_ADDR": "0.0.0.0:99999"}, r"TEMPORAL_METRICS_PROMETHEUS_ADDR=.*give host:port"),
        ({"TEMPORAL_METRICS_PROMETHEUS_ADDR": "worker.internal:1"}, r"'worker.internal' is no IP address"),
        ({"TEMPORAL_METRICS_OTLP_URL": "collector:4317"}, r"TEMPORAL_METRICS_OTLP_URL='collector:4317': give the URL"),
        ({"TEMPORAL_METRICS_OTLP_PROTOCOL": "udp"}, r"TEMPORAL_METRICS_OTLP_PROTOCOL='udp': must be grpc or http"),
        ({"TEMPORAL_METRICS_OTLP_HEADERS": "secret-token"}, r"TEMPORAL_METRICS_OTLP_HEADERS=\*\*\*: give name=value"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "0"}, r"OTEL_METRIC_EXPORT_INTERVAL='0': must be a whole number of milli"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, r"OTEL_TRACES_EXPORTER='zipkin': must be otlp, console or none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector"}, r"OTEL_EXPORTER_OTLP_ENDPOINT='collector': give the URL"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, r"OTEL_EXPORTER_OTLP_PROTOCOL='http/json': must be grpc or"),
    ],
)
def test_a_wrong_variable_is_told_with_what_is_allowed(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        read_settings(environ)


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ("0.0.0.0:9464", "0.0.0.0:9464"),
        ("localhost:9464", "127.0.0.1:9464"),
        (":9464", "0.0.0.0:9464"),
        ("[::]:9464", "[::]:9464"),
    ],
)
def test_the_address_for_prometheus_may_be_written_in_the_usual_ways(given: str, bound: str) -> None:
    assert read_settings({"TEMPORAL_METRICS_PROMETHEUS_ADDR": given}).metrics.prometheus_addr == bound


def test_otel_is_another_name_of_otlp_and_the_standard_endpoint_serves_metrics_too() -> None:
    metrics = read_settings({"TEMPORAL_METRICS_EXPORTER": "otel", "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}).metrics
    assert (metrics.exporter, metrics.otlp_url) == ("otlp", COLLECTOR)
    own = {"TEMPORAL_METRICS_OTLP_URL": "http://own:4317", "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}
    assert read_settings(own).metrics.otlp_url == "http://own:4317"


def test_headers_are_pairs() -> None:
    assert parse_headers("authorization=Basic YTpi==, x-tenant = shop,") == {
        "authorization": "Basic YTpi==",
        "x-tenant": "shop",
    }


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": COLLECTOR}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}, False),
    ],
)
def test_the_standard_variables_turn_tracing_on(environ: dict[str, str], on: bool) -> None:
    assert read_settings(environ).tracing.on is on


def without_exporters(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Starts tracing where the extra's packages are missing."""
    script = f"""
import importlib.abc, logging, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name)
        return None
sys.meta_path.insert(0, Missing())
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.adapters.temporal.telemetry.tracing_start import start_tracing
logging.basicConfig(format="%(message)s")
print(start_tracing(read_settings({environ!r}).tracing))
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_a_worker_that_is_to_trace_without_the_packages_says_what_to_install() -> None:
    done = without_exporters({"OTEL_TRACES_EXPORTER": "otlp"})
    assert done.returncode != 0
    assert "OTEL_TRACES_EXPORTER='otlp' needs packages: pip install \"dbt-temporal[otel]\"" in done.stderr


def test_an_endpoint_that_the_platform_sets_stops_no_worker_without_the_packages() -> None:
    done = without_exporters({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR})
    assert (done.returncode, done.stdout.strip()) == (0, "None")
    assert "runs are not traced" in done.stderr


def test_a_worker_without_tracing_loads_none_of_its_packages() -> None:
    script = (
        "import sys, dbt_temporal.entrypoints.worker.main; "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_dev_serves_metrics_and_health_as_a_worker_does(tmp_path: Path) -> None:
    served = {"TEMPORAL_METRICS_EXPORTER": "prometheus", "HEALTH_PORT": "8080"}
    assert served.items() <= dev_environment(DevOptions(), served, tmp_path).items()


def test_a_source_without_rows_is_as_old_as_a_metric_can_say() -> None:
    buffer = MetricBuffer(100)
    telemetry = MeterTelemetry(Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter)
    # What dbt says of it (`BaseAdapter._create_freshness_response`).
    loaded_at = Freshness(max_loaded_at="0001-01-01T00:00:00+00:00", status="error").loaded_at()
    telemetry.record(NodeEnded("shop", "source", "error", 0.1, None, "source.shop.raw.a", loaded_at))
    told: dict[str, BufferedMetricUpdate] = {update.metric.name: update for update in buffer.retrieve_updates()}
    assert told["dbt_temporal_source_loaded_timestamp_seconds"].value == 0
