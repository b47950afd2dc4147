"""`dbt-temporal docs serve`: dbt's site with the manifest and the catalog of a run, out of the artifact store."""

from __future__ import annotations

import importlib.util
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.docs_site.server import INDEX_FILE, serving
from dbt_temporal.adapters.temporal.listing import KnownRuns
from dbt_temporal.adapters.temporal.planned_runs import PlannedRun
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.cli.operators.newest import NEWEST_WITHIN
from dbt_temporal.entrypoints.cli.operators.runs import connected
from dbt_temporal.entrypoints.cli.operators.stored import find_run, store_of
from dbt_temporal.entrypoints.cli.submit import Target, interrupts_by_signal
from dbt_temporal.entrypoints.exit_codes import SUCCESS

MANIFEST_FILE = "manifest.json"
CATALOG_FILE = "catalog.json"
EMPTY_CATALOG: dict[str, Any] = {"metadata": {}, "nodes": {}, "sources": {}, "errors": None}
_NOT_OF_THE_SITE = (
    *("records", "logs", "state", "compiled"),
    *("run_results.json", "log.txt", "report.html", "sql.zip", "run.json"),
)
LOOKED_AT = 200
"""So many of the newest runs are looked at for one with a site."""


async def serve_docs(
    target: Target,
    workflow_id: str | None,
    project: str | None,
    out: Console,
    *,
    host: str,
    port: int,
    opens: bool,
) -> int:
    """Serves until Ctrl-C. Returns the exit code.

    Raises:
        DbtTemporalError: of type Configuration, where there is no such run, or it has no manifest; of type
            ArtifactStore.
    """
    run = await find_run(target, workflow_id or await _newest(target, project), project)
    site = await _site(target, run)
    if not orjson.loads(site[CATALOG_FILE]).get("nodes"):
        out.print(
            f"{run.workflow_id} has no catalog, so columns are those of the project; docs generate makes one",
            soft_wrap=True,
            markup=False,
        )
    with serving(site, host, port) as url, interrupts_by_signal() as interrupts:
        out.print(f"The docs of {run.workflow_id} are at {url}; Ctrl-C ends this.", soft_wrap=True, markup=False)
        if opens:
            webbrowser.open(url)
        await interrupts.more_than(0)
    return SUCCESS


async def _newest(target: Target, project: str | None) -> str | None:
    """The newest run that made docs; None where there is none, for whatever run is the newest."""
    runs = KnownRuns(await connected(target), target.connection.task_queue)
    since = datetime.now(UTC) - NEWEST_WITHIN
    found = await runs.newest(LOOKED_AT, since=since, project=project, status="passed")
    return next((run.workflow_id for run in found if run.command == "docs-generate"), None)


async def _site(target: Target, run: PlannedRun) -> dict[str, bytes]:
    """The files of the site by their paths: with dbt's own page where the run has none, and with the run's assets."""
    store = store_of(run, target)
    above, _, folder = (run.place or "").rpartition("/")
    found = await FsspecArtifactStore(above, target.environ).list_files(folder)
    paths = [file.path.removeprefix(f"{folder}/") for file in found]
    site = await store.read_many([path for path in paths if path.partition("/")[0] not in _NOT_OF_THE_SITE])
    if MANIFEST_FILE not in site:
        when = "it is stored when the run ends" if run.is_open else "the run wrote none, or it is not there any more"
        place = store.location(MANIFEST_FILE)
        raise configuration_error(f"there is no manifest of {run.workflow_id!r} at {place}: {when}")
    site.setdefault(CATALOG_FILE, orjson.dumps(EMPTY_CATALOG))
    site.setdefault(INDEX_FILE, _page_of_dbt())
    return site


def _page_of_dbt() -> bytes:
    """The page that dbt brings along, found without importing dbt."""
    package = importlib.util.find_spec("dbt")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    pages = (Path(folder, "task", "docs", INDEX_FILE) for folder in folders)
    page = next((each for each in pages if each.is_file()), None)
    if page is None:
        raise configuration_error("dbt-core, which brings the page of the docs along, is not installed here")
    return page.read_bytes()
