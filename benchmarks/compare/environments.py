"""Python environments of the other ways: made once, used again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.progress import tell

STAMP = "installed.txt"


class NotInstalledError(Exception):
    """What a way needs could not be installed; the message says why."""


def environment(folder: Path, name: str, requirements: Sequence[str]) -> Path:
    """The folder of the programs of an environment with these requirements, below `folder`.

    Raises:
        NotInstalledError: where pip cannot install them.
    """
    place = folder / name
    stamp, wanted = place / STAMP, "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        tell(f"{name}: installing {', '.join(requirements)}")
        place.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(place)])
        _run([str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements])
        stamp.write_text(wanted)
    return place / "bin"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line.strip() for line in done.stderr.splitlines() if "error" in line.lower()]
        # pip says first what went wrong, or last where a package's own build did.
        raise NotInstalledError(max(errors, key=len, default=f"pip ended with {done.returncode}")[:300])
