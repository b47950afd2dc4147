"""What runs inside the engine processes. Only modules of this package import dbt.

dbt's inter-process locks are replaced here, before anything of dbt is imported: they are semaphores shared by all
forks, and a process that is killed while it holds one would block its siblings for ever.
Checked on dbt-core 1.11 and 1.12 (`dbt.mp_context`, read by the adapter factory and by the manifest).
"""

from __future__ import annotations

import threading

import dbt.mp_context


class ThreadLocks:
    """Stands in for the multiprocessing context that dbt asks for locks: each process has its own."""

    RLock = staticmethod(threading.RLock)
    Lock = staticmethod(threading.Lock)


dbt.mp_context._MP_CONTEXT = ThreadLocks()
