"""Partial-parse files of earlier parents, for dbt to start from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

MAX_KEPT_FILES = 64
"""On disk, of all projects; some MB each for a large project."""


class KeptParse:
    """The partial-parse file of parents that had the same target.

    dbt checks the file against the project and the environment, but of the target only the connection (1.11, 1.12:
    `ManifestLoader.build_manifest_state_check`): a target whose name or threads come from the environment would be
    taken for that of another run. So the file's name holds all that Jinja sees as `target`.
    """

    def __init__(self, base: Path, used: Path) -> None:
        """`base` is where it is kept, but for the target; `used` is where dbt reads and writes it."""
        self._base = base
        self._kept = base
        self._used = used

    def fetch(self, target: Mapping[str, Any]) -> None:
        """Copies the file of this target, if there is one, to where dbt looks for it."""
        text = orjson.dumps(dict(target), option=orjson.OPT_SORT_KEYS, default=str)
        digest = hashlib.sha256(text).hexdigest()[:24]
        self._kept = self._base.with_name(f"{self._base.stem}-{digest}{self._base.suffix}")
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self._kept, self._used)

    def keep(self) -> None:
        """Keeps what dbt wrote, and removes the files that were used longest ago, where there are many."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._used, self._kept)  # whole or not at all: other parents read it
        files = sorted(self._kept.parent.glob(f"*{self._kept.suffix}"), key=_modified, reverse=True)
        for file in files[MAX_KEPT_FILES:]:
            file.unlink(missing_ok=True)


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # removed by another parent meanwhile
        return 0.0
