"""Compares our artifacts with those of the dbt command line of the same version, field by field.

Only what differs between two runs of the command line itself is normalised: instants and durations, ids of
invocations, thread names, and absolute paths.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.differential.warm_dbt import ask, started
from tests.integration.engine_driver import REPOSITORY

_VOLATILE_KEYS = frozenset(
    {
        "completed_at",
        "created_at",
        "elapsed_time",
        "execution_time",
        "generated_at",
        "invocation_id",
        "invocation_started_at",
        "max_loaded_at_time_ago_in_s",
        "snapshotted_at",
        "started_at",
        "thread_id",
    }
)
_PATH_ARGUMENTS = frozenset({"log_path", "profiles_dir", "project_dir", "target_path", "state", "defer_state"})
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})?")


_one_at_a_time = threading.Lock()


@functools.cache
def _warm_dbt() -> subprocess.Popen[str]:
    """A process that has imported dbt; it ends with this one, whose end closes its input."""
    return started({**os.environ, "PYTHONPATH": str(REPOSITORY)})


def run_cli(
    arguments: Sequence[str], project_dir: Path, target_path: Path | None, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs dbt's command line as a person would in the project's folder, in a fork of one that has imported dbt."""
    command = [*arguments, *(target_options(target_path) if target_path else ())]  # `deps` has no such options
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_PROFILES_DIR": str(project_dir), **env}
    with tempfile.TemporaryDirectory() as folder, _one_at_a_time:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        try:
            code = ask(_warm_dbt(), command, project_dir, environ, output, errors)
        except BaseException:  # such as a timeout: its answer would be taken for the next one's
            _warm_dbt().kill()
            _warm_dbt.cache_clear()
            raise
        return subprocess.CompletedProcess(command, code, output.read_text(), errors.read_text())


def target_options(target_path: Path) -> list[str]:
    """The options that have a command write below `target_path` only."""
    return ["--target-path", str(target_path), "--log-path", str(target_path)]


def read_json(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def run_results_difference(ours: bytes, theirs: Path) -> list[str]:
    """Where two run_results.json differ; results are matched by unique_id, since threads end in any order."""
    mine, other = json.loads(ours), read_json(theirs)
    for document in (mine, other):
        document["results"] = {result["unique_id"]: result for result in document["results"]}
        document["args"] = _comparable_args(document["args"])
    return difference(mine, other)


def manifest_difference(ours: bytes, theirs: Path) -> list[str]:
    """Where two manifest.json differ."""
    return difference(json.loads(ours), read_json(theirs))


def sources_difference(ours: bytes, theirs: Path) -> list[str]:
    """Where two sources.json differ."""
    mine, other = json.loads(ours), read_json(theirs)
    for document in (mine, other):
        document["results"] = {result["unique_id"]: result for result in document["results"]}
    return difference(mine, other)


def unpacked_sql(archive: bytes | None) -> dict[str, str]:
    """What sql.zip has; nothing where there is none."""
    if archive is None:
        return {}
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


def sql_difference(mine: Mapping[str, str], target: Path) -> list[str]:
    """Where the SQL of a run differs from `compiled/` and `run/` of a target folder."""
    files = [path for folder in ("compiled", "run") for path in (target / folder).rglob("*") if path.is_file()]
    other = {path.relative_to(target).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return difference(
        {name: _sql_of(name, text) for name, text in mine.items()},
        {name: _sql_of(name, text) for name, text in other.items()},
        "sql",
    )


def _sql_of(name: str, text: str) -> list[str]:
    if "-- Fixture for " in text:
        return ["of unit tests that are given the same, the last one's"]
    text = re.sub(r"__dbt_tmp[_\d]+", "__dbt_tmp<time>", text)
    lines = text.splitlines()
    if "/hooks/" not in name:
        return [text]
    # As below: they may write down results in the order in which threads ended, with their times.
    return sorted(re.sub(r"\d+\.\d+", "<time>", line).removesuffix(",") for line in lines)


def difference(mine: Any, other: Any, path: str = "") -> list[str]:
    """Paths at which two documents differ, with both values."""
    key = path.rpartition(".")[2]
    if key in _VOLATILE_KEYS:
        return [] if (mine is None) == (other is None) else [f"{path}: {mine!r} != {other!r}"]
    if isinstance(mine, dict) and isinstance(other, dict):
        found = [f"{path}.{name}: only ours: {mine[name]!r:.200}" for name in mine.keys() - other.keys()]
        found += [f"{path}.{name}: only theirs: {other[name]!r:.200}" for name in other.keys() - mine.keys()]
        for name in sorted(mine.keys() & other.keys()):
            found += difference(mine[name], other[name], f"{path}.{name}")
        return found
    if isinstance(mine, list) and isinstance(other, list) and len(mine) == len(other):
        return [line for a, b in zip(mine, other, strict=True) for line in difference(a, b, f"{path}[]")]
    if key == "compiled_code" and ".operation." in path:
        # Hooks may write down the results in the order in which threads ended, with their times.
        mine, other = (
            sorted(re.sub(r"\d+\.\d+", "<time>", str(code)).replace(",\n", "\n").splitlines()) for code in (mine, other)
        )
        return difference([_normalised(line) for line in mine], [_normalised(line) for line in other], path + "()")
    if _normalised(mine) != _normalised(other):
        return [f"{path}: {mine!r:.300} != {other!r:.300}"]
    return []


def _comparable_args(args: dict[str, Any]) -> dict[str, Any]:
    # The test gives the command line options for where to write; the invocation_command repeats all of them.
    return {key: value for key, value in args.items() if key not in {*_PATH_ARGUMENTS, "invocation_command"}}


def _normalised(value: Any) -> Any:
    if isinstance(value, str):
        text = _INSTANT.sub("<instant>", _UUID.sub("<id>", value))
        return re.sub(r"(/[\w.-]+)+/(compiled|run)/", r"target/\2/", text)
    return value
