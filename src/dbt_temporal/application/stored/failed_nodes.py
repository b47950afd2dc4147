"""Keeps the compiled SQL of failed nodes as files of their own, and says of each where to look next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from dbt_temporal.application.ports.engine import EngineRun
from dbt_temporal.application.stored.run_files import RunFiles, safe_name
from dbt_temporal.domain.failed_nodes import MAX_TOLD, FailedNode, lines_around, name_to_find, short_query
from dbt_temporal.domain.report.model import RunGraph
from dbt_temporal.domain.results import NodeExecutionResult

CODE_FOLDER = "compiled"

logger = logging.getLogger(__name__)


async def tell_of_failed(run: EngineRun, results: Sequence[NodeExecutionResult], files: RunFiles) -> list[FailedNode]:
    """The first failed nodes of a run, once its artifacts are made. What cannot be told costs the run nothing."""
    failed = [result for result in results if result.status == "error"]
    if not failed:
        return []
    try:
        graph = await run.graph([result.unique_id for result in failed[:MAX_TOLD]])
        # Hooks are no nodes of the graph.
        told = [result for result in failed[:MAX_TOLD] if result.unique_id in graph.nodes]
        return list(await asyncio.gather(*(_told(result, graph, files) for result in told)))
    except Exception:
        logger.warning("it cannot be told where to look for failed nodes", exc_info=True)
        return []


async def _told(result: NodeExecutionResult, graph: RunGraph, files: RunFiles) -> FailedNode:
    unique_id, code = result.unique_id, graph.code.get(result.unique_id)
    facts = graph.nodes[unique_id]
    found_rows = facts.resource_type == "test" and result.dbt_status == "fail"
    place = None
    if code is not None:
        place = await files.write(f"{CODE_FOLDER}/{safe_name(unique_id)}.sql", f"{code.strip()}\n".encode())
    return FailedNode(
        unique_id=unique_id,
        name=name_to_find(unique_id, facts.name, [each.name for each in graph.nodes.values()]),
        path=facts.path,
        code_path=place,
        lines=lines_around(code.strip(), result.message) if code else [],
        found_rows=found_rows,
        query=short_query(code) if code and found_rows else None,
        stored_failures=graph.stored_failures.get(unique_id),
    )
