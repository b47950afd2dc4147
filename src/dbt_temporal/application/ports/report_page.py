"""How a report is shown."""

from __future__ import annotations

from typing import Protocol

from dbt_temporal.domain.report.model import RunReport


class ReportPage(Protocol):
    """Makes a document of a report. Not quick for large runs: it is called in a thread."""

    def __call__(self, report: RunReport) -> bytes:
        """The document, whole in itself."""
