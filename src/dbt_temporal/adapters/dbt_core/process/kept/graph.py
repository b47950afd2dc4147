"""What a host says of `graph` to its worker, and hears of it from other hosts of the run."""

from __future__ import annotations

import contextlib
from base64 import b64decode, b64encode
from collections.abc import Collection

from dbt.contracts.graph.manifest import Manifest

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process.kept.journal import CannotBeCarriedError, GraphJournal
from dbt_temporal.adapters.dbt_core.process.kept.texts import may_change_graph, speaks_of_graph
from dbt_temporal.domain.errors import configuration_error

ON_RUN_START = "on-run-start"


class KeptGraph:
    """`graph` in one host. Where no text of the project speaks of it, nobody watches it."""

    def __init__(self, manifest: Manifest, adapter_type: str) -> None:
        self._manifest = manifest
        self._adapter_type = adapter_type
        self._start: wire.Message | None = None
        self._told = False
        self._has_all = False
        """Whether the run has begun here, or what it had elsewhere was taken over."""
        self._journal: GraphJournal | None = None
        if speaks_of_graph(manifest, adapter_type):
            self._journal = GraphJournal(manifest)
            self._journal.watch()

    def doing(self, owner: str | None) -> contextlib.AbstractContextManager[None]:
        """Within the block this thread does what this node or hook does."""
        return contextlib.nullcontext() if self._journal is None else self._journal.owned_by(owner)

    def ended(self, owner: str) -> wire.Message | None:
        """What a node has left in `graph`, in the words of the wire; None where that is nothing."""
        part = None if self._journal is None else self._journal.ended(owner)
        if self._journal is not None and self._journal.problem and not self._told:
            print(f"the run cannot go on in another process: {self._journal.problem}", flush=True)
            self._told = True
        return None if part is None else _message(part)

    def started(self) -> wire.Message | None:
        """What on-run-start has left, however often it is asked for."""
        self._has_all = True
        self._start = self.ended(ON_RUN_START) or self._start
        return self._start

    def why_kept(self, selected: Collection[str]) -> str | None:
        """Why the nodes of the run must have one `graph`, in words; None where they need not."""
        if self._journal is None:
            return None
        if self._journal.keys:
            why = f"{ON_RUN_START} has changed {', '.join(map(repr, self._journal.keys))} in Jinja's `graph`"
            return (
                f"{why}, but no other process can have that: {problem}" if (problem := self._journal.problem) else why
            )
        what = may_change_graph(self._manifest, self._adapter_type, selected)
        return None if what is None else f"{what} may change Jinja's `graph`"

    def take_over(self, message: wire.Message) -> wire.Message | None:
        """Brings `graph` to where the run had it in other hosts. Returns what is to be kept of that, however often.

        Raises:
            DbtTemporalError: of type Configuration, where that cannot be.
        """
        if self._journal is None or self._has_all:
            return self._start
        parts = {part["number"]: b64decode(part["content"]) for part in message["parts"]}
        try:
            self._start = _message(self._journal.take_over(parts, message["without"]))
            self._has_all = True
        except CannotBeCarriedError as error:
            raise configuration_error(
                "the process that ran the nodes so far has gone, and what hooks and nodes had left in Jinja's `graph` "
                f"cannot be brought to another one: {error}"
            ) from error
        return self._start


def _message(part: tuple[int, bytes]) -> wire.Message:
    return {"number": part[0], "content": b64encode(part[1]).decode()}
