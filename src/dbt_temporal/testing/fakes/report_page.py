"""A page of a report that tests can read."""

from __future__ import annotations

import json

from dbt_temporal.domain.report.model import RunReport


class FakeReportPage:
    """Implements `ReportPage`.

    Attributes:
        reports: those that it has made pages of, in order.
        problem: what it raises in place of a page.
    """

    def __init__(self, problem: Exception | None = None) -> None:
        self.reports: list[RunReport] = []
        self.problem = problem

    def __call__(self, report: RunReport) -> bytes:
        """JSON: the command, the names of the nodes, and the run that it was compared with."""
        if self.problem is not None:
            raise self.problem
        self.reports.append(report)
        before = report.comparison and report.comparison.invocation_id
        names = [each.facts.name for each in report.nodes]
        return json.dumps({"command": report.command, "nodes": names, "before": before}).encode()
