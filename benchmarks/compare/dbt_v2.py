"""dbt v2's command line: one program that parses and runs, without Python."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.compare.way import RunOnce
from benchmarks.sides.processes import BenchmarkError, waited_for
from benchmarks.sides.projects import Project
from benchmarks.sides.runs import quiet

REQUIREMENTS = ("dbt-core-experimental-parser==2.0.0a4", "adbc-driver-postgresql==1.8.0")
PROGRAM = "dbt-core-experimental-parser"
DRIVER = "com.getdbt/adbc/x86_64-manylinux_2_17-linux-gnu/libadbc_driver_postgresql-0.21.0+dbt0.21.0.so"
"""Where this version looks for its driver, below the cache folder; it would fetch it from its makers otherwise."""


@asynccontextmanager
async def dbt_v2(project: Project, programs: Path, folder: Path, threads: int) -> AsyncIterator[RunOnce]:
    """A process for each run, as its users start it."""
    del threads  # the profile has them
    driver = folder / "cache" / DRIVER
    _take_driver(programs, driver)
    settings = quiet({"XDG_CACHE_HOME": str(folder / "cache"), "DBT_ALLOW_EXPERIMENTAL_ADAPTERS": "true"})
    command = [
        str(programs / PROGRAM),
        "run",
        "--profiles-dir",
        str(project.folder),
        "--project-dir",
        str(project.folder),
    ]

    async def run() -> float:
        return waited_for(command, settings, project.folder).wall

    yield run


def _take_driver(programs: Path, target: Path) -> None:
    """Puts the driver of the package adbc-driver-postgresql where dbt v2 looks for its own."""
    found = sorted(programs.parent.rglob("libadbc_driver_postgresql.so"))
    if not found:
        raise BenchmarkError(f"there is no libadbc_driver_postgresql.so below {programs.parent}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found[0], target)
