"""Builders of plans, nodes and results."""

from __future__ import annotations

from typing import Any

from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.run.plan import ExecutionPlan, NodeInfo

PROJECT = "shop"
INVOCATION_ID = "6e2f0d3c-0000-4000-8000-000000000001"
STARTED_AT = "2026-01-01T00:00:00+00:00"


def model_id(name: str) -> str:
    """`a` as `model.shop.a`; a full unique_id stays as it is."""
    return name if "." in name else f"model.{PROJECT}.{name}"


def node(name: str, *depends_on: str, **fields: Any) -> NodeInfo:
    """A node by its short name or its full unique_id; what it depends on likewise."""
    unique_id = model_id(name)
    resource_type, package_name, short = unique_id.split(".", 2)
    defaults: dict[str, Any] = {"materialization": "table"} if resource_type == "model" else {}
    return NodeInfo(
        unique_id=unique_id,
        name=short,
        resource_type=resource_type,
        package_name=package_name,
        depends_on=[model_id(parent) for parent in depends_on],
        **(defaults | fields),
    )


def plan(*nodes: NodeInfo, **fields: Any) -> ExecutionPlan:
    """A plan of these nodes, with its levels; parents must be given before their children."""
    level_of: dict[str, int] = {}
    for each in nodes:
        level_of[each.unique_id] = 1 + max((level_of[parent] for parent in each.depends_on), default=-1)
    count = max(level_of.values(), default=-1) + 1
    levels = [[uid for uid, level in level_of.items() if level == depth] for depth in range(count)]
    return ExecutionPlan(
        project=PROJECT,
        invocation_id=INVOCATION_ID,
        levels=levels,
        nodes={each.unique_id: each for each in nodes},
        **fields,
    )


def planned(*nodes: NodeInfo, run_input: dict[str, Any] | None = None, **fields: Any) -> PlanProjectOutput:
    """A planned run. Fields of the plan and of `PlanProjectOutput` are told apart by name; 4 threads by default."""
    of_plan = {key: fields.pop(key) for key in list(fields) if key in ExecutionPlan.model_fields}
    defaults: dict[str, Any] = {
        "config": ProjectConfig(),
        "threads": 4,
        "target": "dev",
        "counts": {"model": len(nodes)},
        "ends_on_error": False,
    }
    return PlanProjectOutput(
        plan=plan(*nodes, **of_plan),
        invocation=DbtInvocation(
            invocation_id=INVOCATION_ID,
            project=PROJECT,
            started_at=STARTED_AT,
            input=parse_run_input(run_input),
        ),
        **(defaults | fields),
    )


def result(name: str, status: str = "success", **fields: Any) -> NodeExecutionResult:
    """A result; `status` is dbt's own word."""
    small = {"error": "error", "fail": "error", "runtime error": "error", "partial success": "error"}
    ended = small.get(status, status if status in ("skipped", "cancelled") else "success")
    return NodeExecutionResult.model_validate(
        {"unique_id": model_id(name), "status": ended, "dbt_status": status} | fields
    )
