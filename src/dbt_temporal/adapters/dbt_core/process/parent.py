"""The template and the project parents: `python -m dbt_temporal.adapters.dbt_core.process.parent FD WORKER_PID`.

The template imports dbt once and forks project parents; a project parent parses one project for one parse key and
forks run hosts. Both are single-threaded, so that their forks are safe.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process import forking

if TYPE_CHECKING:
    from dbt_temporal.adapters.dbt_core.process.parsing.kept_schemas import KeptSchemas

FORKABLE_ADAPTERS = frozenset({"postgres", "duckdb", "redshift"})
"""Adapters whose drivers start no threads when imported, so that a process that has loaded them may be forked."""


SCHEMAS_AFTER_SECS = 15.0
"""When a worker begins, its first projects want the CPU; one that has ended by then spares the 4 s that these take."""


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    # Not by the kernel's signal: when the worker dies, hosts must have the time to end their statements. All processes
    # see the end of their sockets then; those below this one die with it at the latest.
    if os.getppid() != int(sys.argv[2]):
        return
    forking.prepare_process()
    gc.disable()  # nothing of what is imported goes again: looking through it takes a tenth of the time
    from dbt_temporal.adapters.dbt_core.process import run_host  # noqa: F401  (imports all of dbt)

    _Template(forking.ForkServer(control)).serve()


class _Template:
    def __init__(self, server: forking.ForkServer) -> None:
        self._server = server
        self._is_prepared = False
        self._schemas: KeptSchemas | None = None

    def serve(self) -> None:
        self._server.serve({"hello": lambda _: None, "prepare": self._prepare}, {"fork_parent": self._be_parent})

    def _prepare(self, message: wire.Message) -> None:
        """Makes dbt as its parents are to have it. Comes before the first fork, and may come again."""
        if self._is_prepared:
            return
        from dbt_temporal.adapters.dbt_core.process import shortcuts
        from dbt_temporal.adapters.dbt_core.process.parsing.kept_schemas import KeptSchemas, schemas_file

        if message["shortcuts"]:
            shortcuts.take()
            file = schemas_file(Path(message["schemas"])) if message["schemas"] else None
            if file is not None:
                self._schemas = KeptSchemas(file)
                self._schemas.take()
        gc.collect()
        gc.freeze()
        gc.enable()
        self._server.idle_work = self._make_schemas()
        self._server.idle_from = time.monotonic() + SCHEMAS_AFTER_SECS
        self._is_prepared = True

    def _make_schemas(self) -> Iterator[None]:
        from dbt_temporal.adapters.dbt_core.process.parsing.schemas import make_schemas

        yield from make_schemas()
        if self._schemas is not None:
            self._schemas.save()
        gc.collect()
        gc.freeze()

    def _be_parent(self, control: socket.socket) -> None:
        ProjectParent(control, self._schemas).serve()


class ProjectParent:
    def __init__(self, control: socket.socket, schemas: KeptSchemas | None) -> None:
        self._server = forking.ForkServer(control)
        self._schemas = schemas
        self._project: Any = None

    def serve(self) -> None:
        self._server.serve({"load": self._load}, {"fork_host": self._run_host}, {"become_host": self._run_host})

    def _load(self, message: wire.Message) -> wire.Message:
        from dbt_temporal.adapters.dbt_core.process.parsing.loading import load_project

        self._project = load_project(message, self._ask_for_parse if message["share"] else None)
        if self._schemas is not None:
            self._schemas.save()
        gc.collect()
        gc.freeze()
        if message["long_lived"]:
            self._server.idle_work = self._warm_up()
        facts = self._project.facts()
        facts["forkable"] = facts["adapter_type"] in FORKABLE_ADAPTERS and threading.active_count() == 1
        facts["pid"] = os.getpid()
        return dict(facts)

    def _ask_for_parse(self, key: str, place: Path) -> bool:
        return bool(self._server.ask({"event": wire.PARSE_WANTED, "key": key, "place": str(place)})["found"])

    def _warm_up(self) -> Iterator[None]:
        from dbt_temporal.adapters.dbt_core.process.artifacts.converters import make_converters
        from dbt_temporal.adapters.dbt_core.process.parsing.loading import compile_macros

        yield from make_converters(self._project.project.manifest)
        yield from compile_macros(self._project)
        gc.collect()
        gc.freeze()

    def _run_host(self, sock: socket.socket) -> None:
        from dbt_temporal.adapters.dbt_core.process.run_host import serve_host

        serve_host(sock, self._project)


if __name__ == "__main__":
    main()
