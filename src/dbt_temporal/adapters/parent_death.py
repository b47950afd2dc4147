"""Processes that do not outlive their parent."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec as little as possible may happen.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(number: int) -> None:
    """Has the kernel send this process a signal when its parent dies. Only Linux can."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
