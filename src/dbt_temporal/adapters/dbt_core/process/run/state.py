"""Artifacts of earlier runs, laid out as dbt expects them: for `state:`, for defer, and for retry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt.artifacts.schemas.run import RunResultsArtifact
from dbt.contracts.state import load_result_state
from dbt.task.retry import IGNORE_PARENT_FLAGS, RETRYABLE_STATUSES

from dbt_temporal.adapters.earlier_runs import local_place
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.results import is_project_hook
from dbt_temporal.domain.run.input import DbtRunInput

TARGET = "target"
"""The folder of a run for what dbt calls its target path."""
_SOURCES = "sources.json"
_SELECTION = ("select", "exclude", "selector")
_OWN_WAYS = frozenset({"target", "vars", "state", "show", "static", "empty_catalog"})
"""Arguments of a retried run that its retry does not take from there as they are: what planning has taken over, a place
that may be no folder, one that dbt removes (`RetryTask.__init__`), and two whose "no" has no word, at which dbt's own
retry of `docs generate` fails."""
_DEFAULTS: tuple[Any, ...] = ([], {"warn": [], "error": [], "silence": []})
"""Values that dbt removes as well: its own command line does not take them."""
_STATE_FILES = ("manifest.json", "run_results.json", _SOURCES)


@dataclass(frozen=True)
class PreviousRun:
    """The run that is retried, and what of it dbt's RetryTask would run again."""

    results: RunResultsArtifact
    unique_ids: frozenset[str]

    def params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the retried run that count, beside what is given, which is as of `flag_params`."""
        anew = {name for name, value in given.items() if value is not None}
        not_taken = IGNORE_PARENT_FLAGS | _OWN_WAYS | anew
        if any(name in anew for name in _SELECTION):
            not_taken = not_taken | set(_SELECTION)
        arguments = self.results.args.items()
        return {name: value for name, value in arguments if name not in not_taken and value not in _DEFAULTS}


@dataclass(frozen=True)
class PreviousState:
    """Folders for `--state` and `--defer-state`, and the run to retry; None where the input names none."""

    state_dir: str | None
    defer_dir: str | None
    retry: PreviousRun | None


def previous_state(run_input: DbtRunInput, project_dir: Path, run_dir: Path) -> PreviousState:
    """Copies what the input refers to below `run_dir`.

    Raises:
        DbtTemporalError: of type Configuration, naming the field, where a reference leads nowhere.
    """
    state = defer = retry = None
    if run_input.state_manifest_ref:
        # `result:` and `source_status:` need no manifest.
        state = _copy("state_manifest_ref", run_input.state_manifest_ref, _STATE_FILES, project_dir, run_dir / "state")
        _leave_out_results_of_v2(state)
    if run_input.sources_ref:
        current = _copy("sources_ref", run_input.sources_ref, (_SOURCES,), project_dir, run_dir / "sources")
        # dbt's own place for it (PreviousState): the target path.
        (run_dir / TARGET).mkdir(exist_ok=True)
        shutil.copyfile(current / _SOURCES, run_dir / TARGET / _SOURCES)
    if run_input.defer_manifest_ref:
        defer = _copy(
            "defer_manifest_ref", run_input.defer_manifest_ref, ("manifest.json",), project_dir, run_dir / "defer"
        )
    if run_input.retry_from:
        folder = _copy("retry_from", run_input.retry_from, ("run_results.json",), project_dir, run_dir / "retry")
        retry = _previous_run(run_input.retry_from, folder)
    return PreviousState(str(state) if state else None, str(defer) if defer else None, retry)


def _copy(field: str, reference: str, needed: Sequence[str], project_dir: Path, target: Path) -> Path:
    """Copies the artifacts at a reference; one of the `needed` must be there. A file of a name of its own, such as
    prod.json, is the first of these."""
    source = local_place(field, reference, project_dir)
    folder = source if source.is_dir() else source.parent
    files = {name: folder / name for name in _STATE_FILES}
    if not source.is_dir() and source.name not in files:
        files[needed[0]] = source
    if not source.exists() or not any(files[name].is_file() for name in needed):
        raise configuration_error(f"{field}: there is no {' or '.join(needed)} at {reference}")
    target.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        if file.is_file():
            shutil.copyfile(file, target / name)
    return target


def _leave_out_results_of_v2(folder: Path) -> None:
    """Results of dbt v2 lack fields, and dbt-core would refuse the manifest beside them too, which it can read."""
    results = folder / "run_results.json"
    if not results.is_file() or not (folder / "manifest.json").is_file():
        return
    try:
        version = str(json.loads(results.read_bytes())["metadata"]["dbt_version"])
    except (ValueError, KeyError, TypeError):
        return  # dbt says what is wrong with it
    if version.startswith("2."):
        results.unlink()


def _previous_run(reference: str, folder: Path) -> PreviousRun:
    try:
        results = load_result_state(folder / "run_results.json")
    except ValueError as error:
        raise configuration_error(
            f"retry_from: dbt-core cannot read the run results at {reference}; those of dbt v2 lack what it needs"
        ) from error
    if results is None:
        raise configuration_error(f"retry_from: cannot read run results at {reference}")
    if not results.results:  # dbt, too, refuses to retry a run that had nothing to do
        raise configuration_error(f"retry_from: the run at {reference} has no results, so there is nothing to retry")
    # The rule of dbt.task.retry.RetryTask.run (dbt-core 1.11 and 1.12).
    unique_ids = {
        result.unique_id
        for result in results.results
        if result.status in RETRYABLE_STATUSES and not is_project_hook(result.unique_id)
    }
    return PreviousRun(results, frozenset(unique_ids))
