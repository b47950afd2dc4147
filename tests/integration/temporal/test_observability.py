"""What a worker tells: its log, its metrics and its traces, of real runs with dbt, under replay at every step."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import promql_parser
import pytest
import yaml
from temporalio.client import Client

from dbt_temporal.adapters.temporal.telemetry.metrics import COUNTERS, GAUGES, HISTOGRAMS, PREFIX
from dbt_temporal.domain.errors import ErrorType
from tests.integration.programs import EXAMPLE, ROOT, eventually
from tests.integration.servers import wait_for
from tests.integration.worker.observed_worker import (
    HOOK_QUEUE,
    SECRET,
    ObservedWorker,
    Sample,
    do_runs,
    observed_worker,
)

DASHBOARD = ROOT / "deploy" / "grafana" / "dbt-temporal.json"
RULES = ROOT / "deploy" / "prometheus" / "dbt-temporal.rules.yaml"
DOC = ROOT / "docs" / "observability.md"
OUR_LABELS = {
    "source",
    "kind",
    "project",
    "command",
    "resource_type",
    "step",
    "status",
    "error_type",
    "engine",
    "dbt_version",
}
SDK_LABELS = {"namespace", "task_queue", "workflow_type", "service_name", "le"}


@pytest.fixture(scope="module")
async def worker(
    temporal_address: str, temporal_client: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ObservedWorker]:
    task_queue = f"observed-{uuid4().hex[:8]}"
    with observed_worker(tmp_path_factory.mktemp("observed"), temporal_address, task_queue) as found:
        await do_runs(found, temporal_client, task_queue)
        eventually(lambda: len(found.collector.named("dbt build")) >= 2, lambda: "the spans of both runs")
        yield found


def total(worker: ObservedWorker, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(
        sample.value
        for sample in worker.samples()
        if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
    )


async def test_every_line_of_the_log_is_json_and_those_of_a_run_say_which_run(worker: ObservedWorker) -> None:
    lines = worker.log()
    assert all({"timestamp", "level", "logger", "message"} <= line.keys() for line in lines)
    of_runs = [line for line in lines if line.get("workflow_id") in worker.workflow_ids]
    assert {line["workflow_id"] for line in of_runs} == set(worker.workflow_ids)
    needed = {"workflow_id", "invocation_id", "project", "attempt", "trace_id", "span_id"}
    assert [line for line in of_runs if not needed <= line.keys()] == []
    of_node = [line for line in of_runs if line.get("node") == "model.jaffle_shop.stg_customers"]
    assert [(line["project"], line["attempt"], line["level"]) for line in of_node] == [("jaffle_shop", 1, "info")]
    assert re.fullmatch(r"model:stg_customers success in \d+\.\d\d s", of_node[0]["message"])


async def test_a_failed_node_is_a_warning_with_its_reason_and_without_the_secrets_of_the_run(
    worker: ObservedWorker,
) -> None:
    found = [line for line in worker.log() if line.get("node") == "model.with_failures.missing_relation"]
    assert [line["level"] for line in found] == ["warning"]
    assert "***" in found[0]["message"]
    assert SECRET not in worker.program.output


async def test_nodes_and_runs_are_counted_once_although_the_run_is_replayed_at_every_step(
    worker: ObservedWorker,
) -> None:
    models = len(list((EXAMPLE / "models" / "staging").glob("*.sql")))
    assert total(worker, "nodes_total", project="jaffle_shop", resource_type="model", status="success") == models
    assert total(worker, "node_seconds_count", project="jaffle_shop", resource_type="model") == models
    assert total(worker, "runs_total", project="jaffle_shop", command="build", status="passed") == 1
    assert total(worker, "runs_total", project="jaffle_shop", command="list", status="passed") == 1
    assert total(worker, "runs_total", project="with_failures", status="failed") == 1
    assert total(worker, "run_seconds_count", project="with_failures", status="failed") == 1


async def test_runs_and_nodes_are_told_to_openlineage_once_although_the_run_is_replayed_at_every_step(
    worker: ObservedWorker,
) -> None:
    eventually(
        lambda: {("dbt-run-jaffle_shop", "COMPLETE"), ("dbt-run-with_failures", "FAIL")} <= set(worker.lineage.told()),
        lambda: str(worker.lineage.told()),
    )
    told = worker.lineage.told()
    assert len(told) == len(set(told))
    staging = {path.stem for path in (EXAMPLE / "models" / "staging").glob("*.sql")}
    built = {job.split(".")[3] for job, type_ in told if type_ == "COMPLETE" and job.endswith(".build.run")}
    assert staging <= built
    assert [type_ for job, type_ in told if "missing_relation.build.run" in job] == ["START", "FAIL"]
    assert SECRET not in json.dumps(worker.lineage.events)


async def test_skipped_nodes_are_counted_but_took_no_time(worker: ObservedWorker) -> None:
    assert total(worker, "nodes_total", project="with_failures", status="skipped") > 0
    assert total(worker, "node_seconds_count", project="with_failures", status="skipped") == 0


async def test_failed_attempts_waiting_parsing_and_hosts_are_measured(worker: ObservedWorker) -> None:
    assert total(worker, "failed_attempts_total", project="with_failures", step="model", error_type="Compilation") > 0
    assert total(worker, "queue_wait_seconds_count", project="jaffle_shop", step="model") > 0
    # For each command: what its hooks hold of `flags.WHICH` is seen while the project is parsed.
    assert total(worker, "parse_seconds_count", project="jaffle_shop") == 3
    assert total(worker, "parse_seconds_sum", project="with_failures") > 0
    installed = {"engine": "dbt-core", "dbt_version": version("dbt-core")}
    assert total(worker, "project_info", project="with_failures", **installed) == 1
    assert total(worker, "hosts") == 0
    assert any(sample.name == "dbt_temporal_hosts" for sample in worker.samples())


async def test_what_is_billed_is_counted_once_although_the_run_is_replayed_at_every_step(
    worker: ObservedWorker, temporal_client: Client
) -> None:
    handles = [temporal_client.get_workflow_handle(workflow_id) for workflow_id in worker.workflow_ids]
    events = [event for handle in handles for event in (await handle.fetch_history()).events]
    kinds = [event.WhichOneof("attributes") for event in events]
    hooks = total(worker, "actions_total", kind="child_workflow") / 2
    assert hooks == kinds.count("start_child_workflow_execution_initiated_event_attributes")
    assert total(worker, "actions_total", kind="run") == total(worker, "runs_total")
    assert total(worker, "actions_total", kind="activity") >= kinds.count("activity_task_scheduled_event_attributes")
    assert total(worker, "actions_total", kind="timer") >= kinds.count("timer_started_event_attributes")
    assert total(worker, "actions_total", kind="heartbeat") >= 0


async def test_our_metrics_have_few_labels_and_name_no_nodes_but_failed_ones(worker: ObservedWorker) -> None:
    ours = [sample for sample in worker.samples() if sample.name.startswith(PREFIX)]
    failed = [sample for sample in ours if sample.name == f"{PREFIX}failed_nodes_total"]
    assert {sample.labels.pop("node").split(".")[0] for sample in failed} <= {"model", "seed", "snapshot", "test"}
    assert {label for sample in ours for label in sample.labels} <= OUR_LABELS | SDK_LABELS
    assert not any("stg_customers" in value for sample in ours for value in sample.labels.values())


async def test_a_run_and_its_nodes_and_hooks_are_one_trace(worker: ObservedWorker) -> None:
    collector = worker.collector
    node = collector.named("model:stg_customers")
    assert len(node) == 1
    trace = [span for span in collector.spans if span.trace_id == node[0].trace_id]
    run = [span for span in trace if span.name == "dbt build"]
    assert len(run) == 1
    assert node[0].parent_span_id == run[0].span_id
    assert not run[0].parent_span_id
    assert run[0].start_time_unix_nano < node[0].start_time_unix_nano < node[0].end_time_unix_nano
    assert node[0].end_time_unix_nano < run[0].end_time_unix_nano
    hook = next(span for span in trace if span.name == "hook dbt_run")
    assert hook.parent_span_id == run[0].span_id
    hooked = next(span for span in trace if span.name == "dbt list")
    assert hooked.parent_span_id == hook.span_id
    assert hook.end_time_unix_nano > hooked.start_time_unix_nano
    assert collector.services == {"dbt-temporal"}


async def test_a_span_is_exported_once_although_the_run_is_replayed_at_every_step(worker: ObservedWorker) -> None:
    async def all_there() -> bool:
        spans = list(worker.collector.spans)
        parents = {span.parent_span_id for span in spans if span.parent_span_id}
        return parents <= {span.span_id for span in spans}  # a parent ends after its children, and is sent after them

    await wait_for(all_there, within=30.0, what="the parents of all spans")
    ids = [span.span_id for span in worker.collector.spans]
    assert len(ids) == len(set(ids))


async def test_failed_runs_and_nodes_are_errors_in_the_trace_and_show_no_secret(worker: ObservedWorker) -> None:
    node = worker.collector.named("model:missing_relation")[0]
    run = next(span for span in worker.collector.named("dbt build") if span.trace_id == node.trace_id)
    assert (node.status.code, run.status.code) == (2, 2)
    assert "***" in node.status.message
    assert not any(SECRET in str(span) for span in worker.collector.spans)
    lost = next(span for span in worker.collector.spans if span.name == "hook tell_somebody")
    assert lost.trace_id == node.trace_id


async def test_a_hook_in_any_language_gets_the_trace_in_its_header(
    worker: ObservedWorker, temporal_client: Client
) -> None:
    hook = next(span for span in worker.collector.spans if span.name == "hook tell_somebody")
    child = next(a.value.string_value for a in hook.attributes if a.key == "workflow_id")
    history = await temporal_client.get_workflow_handle(child).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    assert started.task_queue.name == HOOK_QUEUE
    carrier = json.loads(started.header.fields["_tracer-data"].data)
    assert carrier["traceparent"] == f"00-{hook.trace_id.hex()}-{hook.span_id.hex()}-01"


async def test_a_run_goes_on_in_the_trace_of_whoever_started_its_command(worker: ObservedWorker) -> None:
    trace_id, caller = uuid4().hex, uuid4().hex[:16]
    worker.desk.env["TRACEPARENT"] = f"00-{trace_id}-{caller}-01"
    done = worker.desk.command("list", "--project", "jaffle_shop", "--select", "raw_customers")
    assert done.returncode == 0, done.stderr

    def spans() -> dict[str, Any]:
        return {span.name: span for span in worker.collector.spans if span.trace_id.hex() == trace_id}

    eventually(lambda: {"submit dbt list", "dbt list", "plan_project"} <= spans().keys(), lambda: f"{sorted(spans())}")
    found = spans()
    assert found["submit dbt list"].parent_span_id.hex() == caller
    assert found["dbt list"].parent_span_id == found["submit dbt list"].span_id
    assert found["plan_project"].parent_span_id == found["dbt list"].span_id


def test_a_service_that_starts_a_run_as_documented_is_the_parent_of_its_trace(
    worker: ObservedWorker, temporal_address: str
) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert "temporal.internal:7233" in snippet
    assert "dbt-tasks" in snippet
    snippet = snippet.replace("temporal.internal:7233", temporal_address)
    snippet = snippet.replace("dbt-tasks", worker.desk.env["TEMPORAL_TASK_QUEUE"])
    imports, _, body = textwrap.dedent(snippet).partition("\n\n")
    main = f"async def main():\n{textwrap.indent(body, '    ')}"
    # Not by the interpreter's own end, in which threads of the SDK may abort it (see the command line's `main`).
    program = f"import asyncio, os\n{imports}\n{main}\nasyncio.run(main())\nos._exit(0)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"

    def runs() -> list[Any]:
        return [span for span in worker.collector.named("dbt build") if "nightly" in str(span.attributes)]

    eventually(lambda: len(runs()) == 1, lambda: "the span of the run")
    assert runs()[0].parent_span_id


def queries(document: Any) -> Iterator[str]:
    """Every PromQL expression of a dashboard."""
    if isinstance(document, dict):
        if isinstance(document.get("expr"), str):
            yield document["expr"]
        for value in document.values():
            yield from queries(value)
    elif isinstance(document, list):
        for value in document:
            yield from queries(value)


def promql_blocks(text: str) -> Iterator[str]:
    """Every expression in the page's ```promql blocks; an empty line ends one."""
    for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        yield from (part.strip() for part in block.split("\n\n") if part.strip())


def problems_of(expression: str, served: list[Sample]) -> list[str]:
    """Why an expression, or a part of it, would find no series, or group by what they do not have."""
    plain = re.sub(r"\$__rate_interval|\$__range", "5m", expression).replace("$project", ".*")
    problems: list[str] = []

    def look(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector) and not series_of(node, served):
            problems.append(f"no series: {node.prettify()}")
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found = [sample for selector in selectors_in(node) for sample in series_of(selector, served)]
            known = {label for sample in found for label in sample.labels}
            problems.extend(f"no label {label}: {node.prettify()}" for label in set(node.modifier.labels) - known)
        return True

    tree = promql_parser.parse(plain)
    promql_parser.walk(tree, look)
    return problems if selectors_in(tree) else [f"reads no metric: {expression}"]


def selectors_in(tree: Any) -> list[Any]:
    """The parts of an expression that select series."""
    found: list[Any] = []

    def look(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(tree, look)
    return found


def series_of(selector: Any, served: list[Sample]) -> list[Sample]:
    """The samples that a selector takes."""
    matchers = selector.matchers.matchers
    return [
        sample
        for sample in served
        if sample.name == selector.name
        and all(matches(matcher, sample.labels.get(matcher.name, "")) for matcher in matchers)
    ]


def matches(matcher: Any, value: str) -> bool:
    """Whether a label's value suits a matcher: `=` or `=~`, which is all that is used here."""
    if matcher.op == promql_parser.MatchOp.Equal:
        return bool(value == matcher.value)
    assert matcher.op == promql_parser.MatchOp.Re
    return re.fullmatch(matcher.value, value) is not None


@pytest.mark.parametrize("place", ["dashboard", "alerts", "documentation"])
async def test_queries_find_series_and_labels_among_what_a_worker_serves(worker: ObservedWorker, place: str) -> None:
    if place == "dashboard":
        expressions = list(queries(json.loads(DASHBOARD.read_text())))
    elif place == "alerts":
        expressions = list(queries(yaml.safe_load(RULES.read_text())))
    else:
        expressions = list(promql_blocks(DOC.read_text()))
    assert len(expressions) >= 5
    served = worker.samples()
    failed = next(sample for sample in served if sample.name == f"{PREFIX}failed_attempts_total")
    # Not all of them were met by these runs.
    served += [replace(failed, labels={**failed.labels, "error_type": known.value}) for known in ErrorType]
    assert [problem for expression in expressions for problem in problems_of(expression, served)] == []


async def test_the_documentation_explains_every_metric_of_ours(worker: ObservedWorker) -> None:
    text = DOC.read_text()
    explained = set(re.findall(r"^\| `(dbt_temporal_\w+)`", text, re.MULTILINE))
    assert explained == (
        {f"{PREFIX}{name}_total" for name in COUNTERS} | {PREFIX + name for name in [*HISTOGRAMS, *GAUGES]}
    )
    bare = {re.sub(r"_(bucket|sum|count)$", "", s.name) for s in worker.samples() if s.name.startswith(PREFIX)}
    assert bare == explained


async def test_the_end_of_the_worker_is_in_the_log_too(worker: ObservedWorker, tmp_path: Path) -> None:
    worker.program.signal(signal.SIGTERM)
    assert worker.program.ended() == 0
    assert worker.log()[-1]["message"] == "Worker ended."
