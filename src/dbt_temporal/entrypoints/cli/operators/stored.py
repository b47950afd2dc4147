"""`dbt-temporal report` and `artifacts sql`: what a run has left in the artifact store."""

from __future__ import annotations

import io
import tempfile
import webbrowser
import zipfile
from pathlib import Path

from rich.console import Console

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.temporal.planned_runs import PlannedRun, find_planned_run
from dbt_temporal.application.stored.sql_archive import SQL_FILE, is_sql
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.cli.operators.newest import named_run
from dbt_temporal.entrypoints.cli.operators.runs import connected
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.entrypoints.exit_codes import SUCCESS

REPORT_FILE = "report.html"


async def show_report(
    target: Target, workflow_id: str | None, project: str | None, opens: bool, copy: Path | None, out: Console
) -> int:
    """Says where the report of a run lies, opens it, or copies it. Returns the exit code.

    Raises:
        DbtTemporalError: of type Configuration, where there is no such run or no report; of type ArtifactStore.
    """
    run = await find_run(target, workflow_id, project)
    store = store_of(run, target)
    content = await store.read(REPORT_FILE)
    if content is None:
        when = (
            "it is made when the run ends"
            if run.is_open
            else "it was not made (WRITE_REPORT), or is not there any more"
        )
        raise configuration_error(f"there is no report of {run.workflow_id!r} at {store.location(REPORT_FILE)}: {when}")
    place = store.location(REPORT_FILE)
    if copy is not None:
        write_copy(copy, content)
        place = str(copy)
    elif opens and "://" in place:
        copy = Path(tempfile.mkdtemp(prefix="dbt-temporal-")) / REPORT_FILE
        write_copy(copy, content)
    print(place, file=out.file)
    if opens:
        _open(copy or Path(place))
    return SUCCESS


async def show_sql(
    target: Target, workflow_id: str | None, project: str | None, folder: Path | None, out: Console
) -> int:
    """Says where the SQL of a run's nodes lies, or puts it below a folder of this machine. Returns the exit code.

    Raises:
        DbtTemporalError: of type Configuration, where there is no such run or no SQL of it; of type ArtifactStore.
    """
    run = await find_run(target, workflow_id, project)
    store = store_of(run, target)
    content = (await store.read_many([SQL_FILE])).get(SQL_FILE)  # it may be large: that has time
    place = store.location(SQL_FILE)
    if content is None:
        when = "it is stored when the run ends" if run.is_open else "it was not stored (WRITE_SQL), or is gone"
        raise configuration_error(f"there is no SQL of {run.workflow_id!r} at {place}: {when}")
    if folder is not None:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:  # which keeps names below the folder
                archive.extractall(folder, [name for name in archive.namelist() if is_sql(name)])
        except (OSError, zipfile.BadZipFile) as error:
            raise configuration_error(f"{place} cannot be unpacked to {folder}: {error}") from error
    print(place if folder is None else folder, file=out.file)
    return SUCCESS


async def find_run(target: Target, workflow_id: str | None, project: str | None) -> PlannedRun:
    """A run by its workflow id, else the newest one. Raises Configuration where there is none."""
    client = await connected(target)
    name = await named_run(client, target, workflow_id, project)
    run = await find_planned_run(client, name)
    if run is None:
        raise configuration_error(f"there is no run {name!r}; `dbt-temporal runs` lists those that there are")
    return run


def store_of(run: PlannedRun, target: Target) -> FsspecArtifactStore:
    """The store, with the run's own folder as its root. Raises Configuration where the run keeps nothing there."""
    if run.place is None:
        raise configuration_error(
            f"the run {run.workflow_id!r} keeps no artifacts: its worker writes none (WRITE_ARTIFACTS), or it was not "
            "planned"
        )
    return FsspecArtifactStore(run.place, target.environ)


def _open(page: Path) -> None:
    if not webbrowser.open(page.absolute().as_uri()):
        raise configuration_error(f"no browser could be started here; the report is at {page}")


def write_copy(place: Path, content: bytes) -> None:
    """Writes a file of this machine. Raises Configuration where that cannot be."""
    try:
        place.write_bytes(content)
    except OSError as error:
        raise configuration_error(f"{place} cannot be written: {error.strerror}") from error
