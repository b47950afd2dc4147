"""What the processes of a run have written below `compiled/` and `run/` of their target folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dbt_temporal.adapters.dbt_v2.processes.course import RunCourse
from dbt_temporal.application.ports.engine import CompletedNode
from dbt_temporal.application.stored.sql_archive import MISSING, SQL_FOLDERS
from dbt_temporal.domain.results import is_project_hook


def gather_sql(course: RunCourse, results: Sequence[CompletedNode], folder: Path) -> dict[str, Path]:
    """Says where each file is, by its path in the target folder: of what several have written, that of the last.

    What processes of another machine have written is not here; `MISSING`, in `folder`, then names the nodes that ran
    there.

    Raises:
        OSError: it cannot be looked through.
    """
    found = {}
    for process in course.processes:
        for sub in SQL_FOLDERS:
            for path in (process.target / sub).rglob("*"):
                if path.is_file():
                    found[path.relative_to(process.target).as_posix()] = path
    missing = sorted(each.result.unique_id for each in results if _ran_elsewhere(each, course))
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        found[MISSING] = folder / MISSING
        found[MISSING].write_text("".join(f"{unique_id}\n" for unique_id in missing), encoding="utf-8")
    return found


def _ran_elsewhere(completed: CompletedNode, course: RunCourse) -> bool:
    result = completed.result
    is_node = not is_project_hook(result.unique_id)  # of hooks dbt writes no files
    has_run = bool(result.attempts) and result.status in ("success", "error")
    return is_node and has_run and course.last_told(result.unique_id) is None
