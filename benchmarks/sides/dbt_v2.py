"""dbt v2 as `make setup-dbt-v2` installs it: its command line, and what a worker has to know of it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.sides.processes import ROOT, BenchmarkError
from benchmarks.sides.runs import quiet

FOLDER = ROOT / ".dbt-v2"
PROGRAM = FOLDER / "dbt"


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which the program finds its drivers.

    Raises:
        BenchmarkError: where the program is not there.
    """
    if not PROGRAM.exists():
        raise BenchmarkError("dbt v2 is not installed: `make setup-dbt-v2` does that")
    return quiet(
        {
            "LD_LIBRARY_PATH": str(FOLDER / "lib"),
            "XDG_CACHE_HOME": str(FOLDER / "cache"),
            "DBT_ALLOW_EXPERIMENTAL_ADAPTERS": "true",
            **(more or {}),
        }
    )


def of_worker(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a worker that runs its projects on it."""
    return environment({"DBT_TEMPORAL_ENGINE": "v2", "DBT_TEMPORAL_V2_BINARY": str(PROGRAM), **(more or {})})


def version(folder: Path) -> str:
    """What the program calls itself."""
    told = subprocess.run(
        [PROGRAM, "--version"], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    return told.stdout.split()[-1]
