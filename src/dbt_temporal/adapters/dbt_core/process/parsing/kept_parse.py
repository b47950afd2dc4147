"""Partial-parse files of earlier parents, for dbt to start from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import orjson

from dbt_temporal.adapters.dbt_core.parents.parse_key import flags_digest
from dbt_temporal.domain.run.input import DbtRunInput

MAX_KEPT_FILES = 64
"""On disk, of all projects; some MB each for a large project."""
OWNER_ONLY = 0o600


class KeptParse:
    """The partial-parse file of parents that had the same target, and the same flags where parsing reads flags.

    dbt checks the file against the project and the environment, but of the target only the connection (1.11, 1.12:
    `ManifestLoader.build_manifest_state_check`): a target whose name or threads come from the environment would be
    taken for that of another run. So the file's name holds all that Jinja sees as `target`. Of flags dbt knows nothing:
    a file beside it names those that parsing has read.

    Attributes:
        flags: the names of the flags that parsing this project reads, as far as they are known.
    """

    def __init__(self, base: Path, used: Path, run_input: DbtRunInput) -> None:
        """`base` is where it is kept, but for the target; `used` is where dbt reads and writes it; `run_input` is that
        of the run for which is parsed."""
        self._base = base
        self._kept = base
        self._used = used
        self._run_input = run_input
        self.flags: set[str] = set()

    def fetch(
        self, target: Mapping[str, Any], elsewhere: Callable[[str, Path], None] = lambda _digest, _used: None
    ) -> None:
        """Copies the file of this target, if there is one, to where dbt looks for it.

        Where there is none, `elsewhere` may put one there; it takes what stands for the target.
        """
        text = orjson.dumps(dict(target), option=orjson.OPT_SORT_KEYS, default=str)
        digest = hashlib.sha256(text).hexdigest()[:24]
        self._kept = self._base.with_name(f"{self._base.stem}-{digest}{self._base.suffix}")
        with contextlib.suppress(FileNotFoundError):
            self.flags = set(orjson.loads(self._names.read_bytes()))
        try:
            shutil.copyfile(self._place, self._used)
        except FileNotFoundError:
            elsewhere(digest, self._used)

    def keep(self, flags: Collection[str] = ()) -> None:
        """Keeps what dbt wrote, and removes the files that were used longest ago, where there are many.

        `flags` are the names of those that this parse has read.
        """
        self.flags |= set(flags)
        if self.flags:
            self._names.touch(OWNER_ONLY)
            self._names.write_bytes(orjson.dumps(sorted(self.flags)))
        with contextlib.suppress(FileNotFoundError):
            self._used.chmod(OWNER_ONLY)  # it holds what `env_var()` has returned
            os.replace(self._used, self._place)  # whole or not at all: other parents read it
        for kind in (self._kept.suffix, self._names.suffix):
            files = sorted(self._kept.parent.glob(f"*{kind}"), key=_modified, reverse=True)
            for file in files[MAX_KEPT_FILES:]:
                file.unlink(missing_ok=True)

    @property
    def _names(self) -> Path:
        return self._kept.with_suffix(".flags")

    @property
    def _place(self) -> Path:
        return self._kept.with_stem(f"{self._kept.stem}-{flags_digest(self._run_input, self.flags)}")


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # removed by another parent meanwhile
        return 0.0
