"""Whether files have changed since they were parsed: by their size and time, without reading them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping

MISSING = "missing"


def state_of(path: str) -> str:
    """What changes when a file is edited or swapped, or when something comes into a folder or leaves it.

    Links are followed. `MISSING` where there is nothing, and for what is neither a file nor a folder.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            names = "\0".join(sorted(os.listdir(path)))
            return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()[:24]
    except OSError:
        return MISSING
    if not stat.S_ISREG(status.st_mode):
        return MISSING
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def changed(states: Mapping[str, str]) -> str | None:
    """The first of these paths that is not in this state any more, if there is one."""
    return next((path for path, state in states.items() if state_of(path) != state), None)
