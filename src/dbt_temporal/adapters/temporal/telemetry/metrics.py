"""Our metrics, through the SDK's own meter: they leave the worker by the same exporter as the SDK's. Workflow code.

Prometheus adds `_total` to the counters. docs/observability.md says what each one means.
"""

from __future__ import annotations

from temporalio.common import MetricCounter, MetricGauge, MetricHistogramFloat, MetricMeter

from dbt_temporal.application.ports.telemetry import (
    ActionsTaken,
    AttemptFailed,
    Fact,
    HostsCounted,
    NodeEnded,
    ProjectParsed,
    RunEnded,
    StepStarted,
)

PREFIX = "dbt_temporal_"
COUNTERS = {
    "nodes": "Nodes with a final status",
    "failed_nodes": "Nodes that failed, by name",
    "runs": "Runs that ended",
    "failed_attempts": "Attempts at steps that failed, whether others followed or not",
    "actions": "Actions of runs that Temporal Cloud bills, but for queries",
}
HISTOGRAMS = {
    "node_seconds": "Seconds that dbt worked on a node, last attempt",
    "run_seconds": "Seconds from the start of a run to its end",
    "queue_wait_seconds": "Seconds that a step waited for a worker",
    "parse_seconds": "Seconds to parse a project",
}
GAUGES = {
    "hosts": "Processes of this worker that execute runs",
    "project_info": "1 for the engine and its version that a project was parsed by last",
    "last_passed_timestamp_seconds": "When the last run ended that passed, in seconds since 1970",
    "source_loaded_timestamp_seconds": "The newest row of a source when it was last checked, in seconds since 1970",
}

_SHORT = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LONG = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
BUCKETS = {
    f"{PREFIX}node_seconds": _LONG,
    f"{PREFIX}run_seconds": _LONG,
    f"{PREFIX}queue_wait_seconds": _SHORT,
    f"{PREFIX}parse_seconds": _SHORT,
}
"""Upper limits of the histograms' buckets, by metric."""


class MeterTelemetry:
    """Implements `Telemetry` by a meter: the worker's, or a workflow's, which stays silent on replay."""

    def __init__(self, meter: MetricMeter) -> None:
        self._counters: dict[str, MetricCounter] = {
            name: meter.create_counter(PREFIX + name, text) for name, text in COUNTERS.items()
        }
        # The unit stands in the name: Prometheus would get the SDK's abbreviation as a suffix.
        self._histograms: dict[str, MetricHistogramFloat] = {
            name: meter.create_histogram_float(PREFIX + name, text) for name, text in HISTOGRAMS.items()
        }
        self._gauges: dict[str, MetricGauge] = {
            name: meter.create_gauge(PREFIX + name, text) for name, text in GAUGES.items()
        }
        self._projects: dict[str, dict[str, str]] = {}

    def record(self, fact: Fact) -> None:
        match fact:
            case NodeEnded():
                self._record_node(fact)
            case RunEnded():
                labels = {"project": fact.project, "command": fact.command, "status": fact.status}
                self._counters["runs"].add(1, labels)
                self._histograms["run_seconds"].record(fact.seconds, labels)
                if fact.status == "passed":
                    labels = {"project": fact.project, "command": fact.command}
                    self._gauges["last_passed_timestamp_seconds"].set(int(fact.ended_at.timestamp()), labels)
            case StepStarted():
                labels = {"project": fact.project, "step": fact.step}
                self._histograms["queue_wait_seconds"].record(fact.waited_seconds, labels)
            case AttemptFailed():
                labels = {"project": fact.project, "step": fact.step, "error_type": fact.error_type}
                self._counters["failed_attempts"].add(1, labels)
            case ProjectParsed():
                self._histograms["parse_seconds"].record(fact.seconds, {"project": fact.project})
                self._tell_of_project(fact)
            case ActionsTaken():
                self._counters["actions"].add(fact.count, {"kind": fact.kind})
            case HostsCounted():
                self._gauges["hosts"].set(fact.count)

    def _tell_of_project(self, fact: ProjectParsed) -> None:
        labels = {"project": fact.project, "engine": fact.engine, "dbt_version": fact.dbt_version}
        before = self._projects.get(fact.project, labels)
        if before != labels:
            self._gauges["project_info"].set(0, before)
        self._projects[fact.project] = labels
        self._gauges["project_info"].set(1, labels)

    def _record_node(self, fact: NodeEnded) -> None:
        labels = {"project": fact.project, "resource_type": fact.resource_type, "status": fact.status}
        self._counters["nodes"].add(1, labels)
        if fact.failed is not None:
            self._counters["failed_nodes"].add(1, {"project": fact.project, "node": fact.failed})
        if fact.source is not None and fact.loaded_at is not None:
            labels_of_source = {"project": fact.project, "source": fact.source}
            # Of a source without rows, dbt says that it was loaded in the year 1; a gauge takes nothing below 0.
            self._gauges["source_loaded_timestamp_seconds"].set(max(0, int(fact.loaded_at)), labels_of_source)
        if fact.seconds is not None:
            self._histograms["node_seconds"].record(fact.seconds, labels)
