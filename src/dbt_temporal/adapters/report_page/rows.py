"""The nodes as the page's own script takes them: a list of fields each, in an order that `page.js` has too."""

from __future__ import annotations

import json
from typing import Any

from dbt_temporal.adapters.report_page.texts import word
from dbt_temporal.domain.report.making import failed_above
from dbt_temporal.domain.report.model import ReportNode, RunReport
from dbt_temporal.domain.run.state import first_line


def script_data(report: RunReport) -> str:
    """JSON that may stand in a script element: nothing in it ends one, or begins a comment."""
    kinds: dict[str, int] = {}
    numbers = {node.unique_id: number for number, node in enumerate(report.nodes)}
    critical = {node.unique_id for node in report.critical.nodes}
    by_id = {node.unique_id: node for node in report.nodes}
    rows = [_row(node, kinds, numbers, critical, by_id) for node in report.nodes]
    begins = [node.started for node in report.nodes if node.started is not None]
    data = {
        "from": min([report.facts.executing_since, *begins]),
        "to": max([report.facts.ended, *(node.ended or 0.0 for node in report.nodes)]),
        "kinds": list(kinds),
        "rows": rows,
    }
    written = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _row(
    node: ReportNode,
    kinds: dict[str, int],
    numbers: dict[str, int],
    critical: set[str],
    by_id: dict[str, ReportNode],
) -> list[Any]:
    result = node.result
    said = first_line(result.message) if result.message else None
    if node.started is None and said is None:
        cause = failed_above(node, by_id)
        said = None if cause is None else f"{cause} did not succeed"
    return [
        node.unique_id,
        node.facts.name,
        kinds.setdefault(node.facts.kind, len(kinds)),
        word(result),
        _rounded(node.ready),
        _rounded(node.started),
        _rounded(node.attempt_began),
        _rounded(node.taken),
        _rounded(node.ended),
        _rounded(result.execution_time),
        result.attempts,
        [[_rounded(each.began), _rounded(each.ended), each.reason] for each in node.failed],
        said,
        None if node.last_parent is None else numbers.get(node.last_parent),
        node.facts.path,
        int(node.unique_id in critical),
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
