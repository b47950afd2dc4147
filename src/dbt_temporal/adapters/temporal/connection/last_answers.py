"""The end of a process that has a client of Temporal's SDK."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from functools import cache

PATIENCE_SECS = 2.0
_PAUSE_SECS = 0.001


@cache
def awaited_at_exit() -> None:
    """Has the interpreter wait, before it is taken down, for the threads of the SDK that are about to leave it.

    Such a thread wakes the event loop with an answer and takes the interpreter's lock once more to return. Where the
    program ends on that answer, the thread meets the interpreter half taken down, and the process is aborted although
    all went well ("PyGILState_Release: thread state must be current"; temporalio 1.35 on Python 3.11, in every tenth
    program on a busy machine).
    """
    atexit.register(_wait)


def _wait() -> None:
    end = time.monotonic() + PATIENCE_SECS
    # The first pause comes without a look: a thread that waits for the lock with no frame yet gets it there.
    time.sleep(_PAUSE_SECS)
    while _strangers() and time.monotonic() < end:
        time.sleep(_PAUSE_SECS)


def _strangers() -> set[int]:
    """The threads in Python code that Python has not started."""
    return sys._current_frames().keys() - {thread.ident for thread in threading.enumerate()}
