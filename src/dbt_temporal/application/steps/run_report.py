"""Makes the report of a run, and keeps of the run what the next report compares itself with."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from functools import partial

from pydantic import ValidationError

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import EngineRun
from dbt_temporal.application.ports.report_page import ReportPage
from dbt_temporal.application.steps.messages import StoreArtifactsInput
from dbt_temporal.application.stored.run_files import RunFiles, safe_name
from dbt_temporal.domain.report.comparison import LastRuns, RunSummary, compared, summary_of
from dbt_temporal.domain.report.making import critical_path, report_nodes, worth_code
from dbt_temporal.domain.report.model import ReportFacts, RunGraph, RunReport
from dbt_temporal.domain.run.commands import COMMANDS

REPORT_FILE = "report.html"
SUMMARIES = "reports"
"""The folder of the store with what runs leave for the reports of later ones."""

logger = logging.getLogger(__name__)


class RunReports:
    """Makes them, with what a page is made by."""

    def __init__(self, store: ArtifactStore, page: ReportPage) -> None:
        self._store = store
        self._page = page

    async def make(
        self, run: EngineRun, request: StoreArtifactsInput, files: RunFiles
    ) -> tuple[str | None, str | None]:
        """Where the report lies, and what went wrong with it: it never costs the run anything else."""
        if request.report is None or not COMMANDS[request.invocation.input.command].executes:
            return None, None
        try:
            return await self._make(run, request, request.report, files), None
        except Exception as error:
            logger.warning("the report of run %s could not be made", request.invocation.invocation_id, exc_info=True)
            return None, str(error) or type(error).__name__

    async def _make(self, run: EngineRun, request: StoreArtifactsInput, facts: ReportFacts, files: RunFiles) -> str:
        graph = await run.graph(worth_code(request.results, facts, request.invocation.started_at))
        place = _summaries(request, facts)
        # Of a run that ended some time ago, nobody knows which one was before it.
        last = LastRuns() if request.ended_at is not None else await self._last_runs(place)
        before = last.before(request.invocation.invocation_id)
        page, summary = await asyncio.to_thread(partial(self._page_of, request, facts, graph, before))
        location = await files.write(REPORT_FILE, page)
        if request.ended_at is None and not facts.cancelled and summary.nodes:
            await self._store.write(place, last.and_then(summary).model_dump_json().encode())
        return location

    def _page_of(
        self, request: StoreArtifactsInput, facts: ReportFacts, graph: RunGraph, before: RunSummary | None
    ) -> tuple[bytes, RunSummary]:
        invocation = request.invocation
        nodes = report_nodes(request.results, graph, facts, invocation.started_at)
        report = RunReport(
            project=invocation.project,
            command=_words(request),
            invocation_id=invocation.invocation_id,
            started_at=invocation.started_at,
            revision=invocation.revision,
            facts=facts,
            nodes=nodes,
            critical=critical_path(nodes),
            comparison=None if before is None else compared(nodes, before),
        )
        ended = datetime.fromisoformat(invocation.started_at) + timedelta(seconds=facts.ended)
        elapsed = facts.ended - facts.executing_since
        return self._page(report), summary_of(nodes, invocation.invocation_id, ended.isoformat(), elapsed)

    async def _last_runs(self, place: str) -> LastRuns:
        """Those that are known; none where what is kept there cannot be read."""
        content = await self._store.read(place)
        try:
            return LastRuns() if content is None else LastRuns.model_validate_json(content)
        except ValidationError:
            return LastRuns()


def _summaries(request: StoreArtifactsInput, facts: ReportFacts) -> str:
    """Where runs of the same project, target and command leave their summaries."""
    invocation = request.invocation
    return (
        f"{SUMMARIES}/{safe_name(invocation.project)}/{safe_name(facts.target or '-')}/{invocation.input.command}.json"
    )


def _words(request: StoreArtifactsInput) -> str:
    """The run in dbt's words."""
    run_input = request.invocation.input
    words = ["dbt", COMMANDS[run_input.command].words]
    for flag, value in (("select", run_input.select), ("exclude", run_input.exclude), ("selector", run_input.selector)):
        words += [f"--{flag}", value] if value else []
    words += ["--full-refresh"] if run_input.full_refresh else []
    return " ".join(words)
