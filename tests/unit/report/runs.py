"""Reports of made-up runs."""

from typing import Any

from dbt_temporal.domain.report.making import critical_path, report_nodes, worth_code
from dbt_temporal.domain.report.model import NodeFacts, ReportFacts, ReportNode, RunGraph, RunReport
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.times import NodeTimes
from dbt_temporal.testing import model_id, result
from dbt_temporal.testing.builders import INVOCATION_ID, STARTED_AT

GRAPH = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def facts_of(**fields: Any) -> ReportFacts:
    defaults: dict[str, Any] = {"target": "dev", "threads": 2, "executing_since": 1.0, "ended": 20.0}
    return ReportFacts(**(defaults | fields))


def ran(name: str, started: float, ended: float, status: str = "success", **fields: Any) -> NodeExecutionResult:
    times = fields.pop("times", None) or NodeTimes(started=started, ended=ended)
    return result(name, status, times=times, execution_time=ended - started, **fields)


def graph_of(**parents: tuple[str, ...]) -> RunGraph:
    known = parents or GRAPH
    return RunGraph(
        {
            model_id(name): NodeFacts(name, "model", "table", f"dev.{name}", f"models/{name}.sql", _ids(above))
            for name, above in known.items()
        }
    )


def nodes_of(*results: NodeExecutionResult, graph: RunGraph | None = None, **facts: Any) -> dict[str, ReportNode]:
    """By short name, in the order of the report."""
    nodes = report_nodes(results, graph or graph_of(), facts_of(**facts), STARTED_AT)
    return {node.facts.name: node for node in nodes}


def report_of(*results: NodeExecutionResult, graph: RunGraph | None = None, **fields: Any) -> RunReport:
    facts = fields.pop("facts", None) or facts_of()
    graph = graph or graph_of()
    code = {uid: f"select '{uid}' as <code>" for uid in worth_code(results, facts, STARTED_AT)}
    nodes = report_nodes(results, RunGraph(graph.nodes, code), facts, STARTED_AT)
    defaults: dict[str, Any] = {
        "project": "shop",
        "command": "dbt build",
        "invocation_id": INVOCATION_ID,
        "started_at": STARTED_AT,
        "revision": "abc",
    }
    return RunReport(facts=facts, nodes=nodes, critical=critical_path(nodes), **(defaults | fields))


def _ids(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(model_id(name) for name in names)
