"""What a host answers, and is sent, as the engine's port has it."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from dbt_temporal.adapters.dbt_core.hosts.handle import this_worker
from dbt_temporal.application.ports.engine import CompletedNode, NodeErrorClass, NodeOutcome, Prepared, StatePart
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.lineage.model import LineageGraph, LineageNode
from dbt_temporal.domain.report.model import NodeFacts, RunGraph
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.invocation import HeldDatabase


def prepared_from(answer: dict[str, Any]) -> Prepared:
    name = f"profile {answer['profile']!r}, target {answer['target']!r}"
    held = answer["held_by"]
    return Prepared(
        [outcome_from(hook) for hook in answer["hooks"]],
        answer["nodes_may_run"],
        None if held is None else HeldDatabase(name=name, worker=held["worker"], process=held["process"]),
        state=state_from(answer["graph"]),
        keeps_state=answer["keeps_graph"],
        worker=this_worker(),
        messages=answer.get("messages", ()),  # earlier releases have left none
    )


def outcome_from(answer: dict[str, Any]) -> NodeOutcome:
    error = answer["error"]
    return NodeOutcome(
        result=NodeExecutionResult.model_validate(answer["result"]),
        error=NodeErrorClass(error[0], error[1], answer.get("unreachable", False)) if error else None,
        record=answer["record"].encode(),
        log=answer["log"],
        state=state_from(answer.get("graph")),
    )


def graph_from(answer: dict[str, Any]) -> RunGraph:
    names = ("name", "resource_type", "materialization", "relation", "path")
    nodes = {
        unique_id: NodeFacts(**dict(zip(names, fields, strict=True)), depends_on=tuple(depends_on))
        for unique_id, *fields, depends_on in answer["nodes"]
    }
    return RunGraph(nodes, answer["code"], answer["stored_failures"])


def lineage_from(answer: dict[str, Any]) -> LineageGraph:
    nodes = {
        unique_id: LineageNode(**{**fields, "parents": tuple(fields["parents"])})
        for unique_id, fields in answer["nodes"].items()
    }
    return LineageGraph(answer["namespace"], nodes)


def state_from(answer: dict[str, Any] | None) -> StatePart | None:
    return None if answer is None else StatePart(answer["number"], b64decode(answer["content"]))


def sent_result(item: CompletedNode) -> dict[str, Any]:
    return {
        "result": item.result.model_dump(mode="json"),
        "record": item.record.decode(),
        "behind": item.behind,
        "behind_if_failed": item.behind_if_failed,
        "batches": [batch.decode() for batch in item.batches],
    }


def lost_database(held: HeldDatabase) -> DbtTemporalError:
    here = this_worker()
    if held.worker == here:
        why = "the process that held it has ended, and what the run had built has gone with it"
    else:
        why = f"the worker {held.worker} holds it or held it, and the worker {here} cannot reach it"
    return configuration_error(
        f"{held.name}: DuckDB's database is in memory, where only one process has it: {why}. Such runs need a worker "
        "that has its task queue alone and outlives them; or give the target a database that all processes reach: "
        "a file (`path`), MotherDuck (`md:`) or DuckLake"
    )
