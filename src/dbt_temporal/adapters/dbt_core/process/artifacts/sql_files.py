"""The SQL that dbt writes below its target folder: what it compiles (`compiled/`), and what it sends (`run/`).

A file of `compiled/` holds what manifest.json has as `compiled_code`, at its `compiled_path`. A file of `run/` lies on
the machine of the attempt alone, so its text goes into the record of the attempt; so do all files of a batch, and of a
unit test and what it is given, of which the manifest has nothing. Checked on dbt-core 1.11.16 and 1.12.0:
`Compiler._write_node`, `ProviderContext.write`, `ParsedNode.get_target_write_path` and `write_node`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun

COMPILED, RUN = "compiled/", "run/"


class Written:
    """What dbt writes on this thread within the block."""

    def __init__(self, run: HostRun) -> None:
        self._run = run
        self._files: list[tuple[str, str]] = []

    def __enter__(self) -> Written:
        self._run.written.files = self._files
        return self

    def __exit__(self, *_: object) -> None:
        del self._run.written.files

    def texts(self, folders: tuple[str, ...]) -> dict[str, str]:
        """The contents of those files that lie in these folders of the target folder, by their paths there."""
        named = ((_within_target(self._run, path), text) for path, text in self._files)
        return {name: text for name, text in named if name is not None and name.startswith(folders)}


def write_sql_files(
    run: HostRun, records: Iterable[Mapping[str, Any]], batches: Iterable[Mapping[str, Any]], folder: Path
) -> dict[str, str]:
    """Writes the files of a whole run below a folder; returns their places by their paths within the target folder.

    Args:
        run: the run, whose manifest has what was compiled without a record.
        records: of nodes and hooks.
        batches: of the batches of microbatch models.
        folder: where to.

    Raises:
        OSError: a file cannot be written.
    """
    texts = dict(_compiled(run, records))
    for record in (*records, *batches):
        texts |= record.get("sql", {})
    places = {}
    for name, text in texts.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode())
        places[name] = str(place)
    return places


def _compiled(run: HostRun, records: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    nodes = [node for record in records for node in (*record["nodes"].values(), record.get("unit_test", {}))]
    # Ephemeral models that no node has used have no record.
    nodes += [vars(node) for node in run.manifest.nodes.values()]
    for node in nodes:
        name, code = _within_target(run, node.get("compiled_path")), node.get("compiled_code")
        if name is not None and code:
            yield name, code


def _within_target(run: HostRun, path: str | None) -> str | None:
    """A file's path within the target folder, where it is one of SQL there."""
    for target in (run.project.own_target_path, str(run.project.config.target_path)):
        if path and path.startswith(f"{target}/"):
            name = posixpath.normpath(path.removeprefix(f"{target}/"))
            return name if name.startswith((COMPILED, RUN)) else None
    return None
