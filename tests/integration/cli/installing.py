"""Clean environments, as a user or the image makes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.dockerfile import ROOT

PINS = ROOT / "constraints" / "dbt-1.11.txt"
INSTALL_SECS = 1200.0


def outside_environment(**more: str) -> dict[str, str]:
    """The environment without what would let a clean environment see this one, or configure dbt and Temporal."""
    hidden = ("DBT_", "TEMPORAL_", "WORKER_", "HEALTH_", "PYTHON", "VIRTUAL_ENV")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(hidden)}, **more}


def done(command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Runs a command that must succeed. Returns what it printed."""
    finished = subprocess.run(
        command,
        cwd=cwd,
        env=outside_environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECS,
        check=False,
    )
    assert finished.returncode == 0, f"{command} ended with {finished.returncode}:\n{finished.stdout[-4000:]}"
    return finished.stdout


def built_wheel(folder: Path, project: Path = ROOT) -> Path:
    """A wheel built from this tree, that of its main project by default."""
    done([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(project)], cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def wheelhouse(wheel: Path, extras: str, folder: Path) -> Path:
    """A folder with all that a wheel and these extras need: the package index is asked once, not by each install."""
    wanted = ["--quiet", "--constraint", str(PINS), "--wheel-dir", str(folder), _with(extras, wheel)]
    done([sys.executable, "-m", "pip", "wheel", *wanted], cwd=wheel.parent)
    return folder


def installed(wheel: Path, extra: str, wheels: Path, folder: Path) -> Path:
    """The Python of a new environment that has the wheel and one of its extras (or none), and no pip."""
    done([sys.executable, "-m", "venv", "--without-pip", str(folder)], cwd=folder.parent)
    python = folder / "bin" / "python"
    # Compiling would take as long as installing, and what is run here imports little.
    options = ["--quiet", "--no-compile", "--no-index", "--find-links", str(wheels)]
    pip_for(python, "install", *options, _with(extra, wheel))
    return python


def _with(extras: str, wheel: Path) -> str:
    return f"{wheel}[{extras}]" if extras else str(wheel)


def pip_for(python: Path, *args: str) -> None:
    """Our pip, at work for another environment."""
    done([sys.executable, "-m", "pip", "--python", str(python), *args], cwd=python.parent)
