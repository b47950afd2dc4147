"""Artifacts of earlier runs: where they are, and what a run takes over from the run that it retries.

A retry is that of dbt (dbt/task/retry.py, dbt-core 1.11 and 1.12): the arguments of the retried run count, but for
those that are given anew. They stand in `args` of its run_results.json.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.commands import misplaced, named
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation

_FIELD = "retry_from"
_RESULTS = "run_results.json"
IGNORED = frozenset({"warn_error"})
"""Flags that no retry has from the retried run (dbt/task/retry.py, IGNORE_PARENT_FLAGS)."""
_TAKEN_OVER = (
    "vars",
    "target",
    "full_refresh",
    "fail_fast",
    "indirect_selection",
    "event_time_start",
    "event_time_end",
    "macro",
    "args",
    "sql",
    "inline",
    "compile",
    "static",
    "empty_catalog",
    "empty",
    "sample",
    "threads",
    "favor_state",
    *(name for name, flag in FLAGS.items() if flag.parsed and name not in IGNORED),
)
_NOTHING: tuple[Any, ...] = (None, {}, "")


def local_place(field: str, reference: str, project_dir: Path) -> Path:
    """The path that a reference names; as for dbt's command line, relative to the project.

    Raises:
        DbtTemporalError: of type Configuration, naming the field, where it is a URL of another machine.
    """
    parts = urlsplit(reference)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme and "://" in reference:
        raise configuration_error(f"{field}: cannot read {parts.scheme}:// here; give a local path or a file:// URL")
    return project_dir / reference


class RetriedRuns:
    """Reads the arguments of runs that are retried. Copies go below `folder`, by invocation id."""

    def __init__(self, references: ArtifactReferences | None, folder: Path) -> None:
        self._references = references
        self._folder = folder

    async def completed(self, invocation: DbtInvocation, project_dir: Path) -> DbtInvocation:
        """The invocation with what it takes over in its input. Raises as `taken_over` does."""
        taken_over = await self.taken_over(invocation, project_dir)
        run_input = invocation.input.model_copy(update=taken_over)
        return invocation.model_copy(update={"input": run_input, "taken_over": tuple(taken_over)})

    async def taken_over(self, invocation: DbtInvocation, project_dir: Path) -> dict[str, Any]:
        """The fields of the run's input that the retried run gives; none where no run is retried.

        Raises:
            DbtTemporalError: of type Configuration, where there are no results, or they are another command's;
                what fetching raises.
        """
        if not invocation.input.retry_from:
            return {}
        arguments = (await self.document(invocation, project_dir))["args"]
        return _missing(invocation.input, arguments if isinstance(arguments, Mapping) else {})

    async def document(self, invocation: DbtInvocation, project_dir: Path) -> Mapping[str, Any]:
        """The run_results.json of the run that is retried. Raises as `taken_over` does."""
        reference = invocation.input.retry_from
        assert reference
        if self._references is not None:
            copies = self._folder / invocation.invocation_id / "retried"
            local = await self._references.fetch(_FIELD, reference, copies)
        else:
            local = reference
        return await asyncio.to_thread(_read, local_place(_FIELD, local, project_dir), reference)


def remembered(run_input: DbtRunInput) -> dict[str, Any]:
    """What a retry takes over of a run, for the `args` of its run_results.json, where the engine does not write it."""
    given = run_input.model_dump(mode="json", include=set(_TAKEN_OVER))
    arguments = {name: value for name, value in given.items() if value not in _NOTHING}
    if run_input.defer_manifest_ref is not None:
        arguments |= {"defer": True, "defer_state": run_input.defer_manifest_ref}
    if run_input.command == "clone" and run_input.state_manifest_ref is not None:
        arguments["state"] = run_input.state_manifest_ref
    return arguments


def _read(place: Path, reference: str) -> Mapping[str, Any]:
    file = place / _RESULTS if place.is_dir() else place
    try:
        read = json.loads(file.read_bytes())
        document = {"args": read["args"], "results": read.get("results", [])}
    except OSError as error:
        raise configuration_error(f"{_FIELD}: there is no {_RESULTS} at {reference}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise configuration_error(f"{_FIELD}: cannot read run results at {reference}") from error
    return document


def _missing(run_input: DbtRunInput, arguments: Mapping[str, Any]) -> dict[str, Any]:
    command = named(str(arguments.get("which") or run_input.command))
    given = "command" in run_input.model_fields_set and run_input.command != "retry"
    if given and run_input.command != command:
        raise configuration_error(
            f"command: {run_input.command!r} cannot retry a run of {command!r}; give that command, or none"
        )
    earlier = {name: arguments.get(name) for name in _TAKEN_OVER if misplaced(command, [name]) is None}
    earlier |= _references(command, arguments)
    taken = {
        name: value
        for name, value in earlier.items()
        if getattr(run_input, name) in _NOTHING and value not in _NOTHING and not _is_default(name, value)
    }
    return parse_run_input({"command": command, **taken}).model_dump(include={"command", *taken})


def _is_default(name: str, value: Any) -> bool:
    """Whether this is what dbt would take anyway: run results say what each flag was, and not who gave it."""
    if name not in FLAGS:
        return False
    if isinstance(value, dict):
        return not any(value.values())
    return value is FLAGS[name].default


def _references(command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the retried run took relations from. Its selection is made, so `--state` is of no other use."""
    place = arguments.get("defer_state") or arguments.get("state")
    return {
        "state_manifest_ref": place if command == "clone" else None,
        "defer_manifest_ref": place if arguments.get("defer") else None,
    }
