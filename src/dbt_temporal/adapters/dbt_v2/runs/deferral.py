"""The artifacts of earlier runs that a run's input names, as words for its processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

import orjson

from dbt_temporal.adapters.dbt_v2 import command_line
from dbt_temporal.domain.run.input import DbtRunInput

REFERENCES = ("state_manifest_ref", "defer_manifest_ref")
_MANIFEST = "manifest.json"
_KINDS = ("nodes", "functions")


class Deferral:
    """Of one run.

    Where dbt favors the deferred state, it takes from there what its process does not select. A further process of a
    run selects few of the run's nodes; so that it finds those that the run has built, its state has none of them.

    Args:
        run_input: the run's.
        environ: of its processes.
        references: by field of the input, the folders that have what it names.
        folder: of the run's files.
    """

    def __init__(
        self, run_input: DbtRunInput, environ: Mapping[str, str], references: Mapping[str, Path], folder: Path
    ) -> None:
        self._favor = run_input.favor_state
        self._is_favored = command_line.favors_state(run_input, environ)
        self._state, self._defer = (references.get(name) for name in REFERENCES)
        self._folder = folder / "favored"

    @property
    def words(self) -> list[str]:
        """For a process of the run's own selection."""
        return command_line.state_words(self._state, self._defer, self._favor)

    async def words_beside(self, planned: Collection[str]) -> list[str]:
        """For a further process of a run of these nodes."""
        if self._defer is None or not self._is_favored:
            return self.words
        await asyncio.to_thread(_write_without, planned, self._defer, self._folder)
        return command_line.state_words(self._state, self._folder, self._favor)


def _write_without(nodes: Collection[str], state: Path, folder: Path) -> None:
    """Writes the manifest of a state without some nodes; where there is none to be read, dbt says so itself."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(OSError, orjson.JSONDecodeError):
        document = orjson.loads((state / _MANIFEST).read_bytes())
        for kind in _KINDS:
            found = document.get(kind) or {}
            document[kind] = {unique_id: node for unique_id, node in found.items() if unique_id not in nodes}
        (folder / _MANIFEST).write_bytes(orjson.dumps(document))
