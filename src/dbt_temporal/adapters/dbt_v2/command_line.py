"""A run's input as words of dbt v2's command line, and what of it this engine does not do."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput

NAME = "v2"
"""Of the engine."""
RESOURCE_TYPES = {
    "run": ("model",),
    "test": ("test", "unit_test"),
    "seed": ("seed",),
    "snapshot": ("snapshot",),
    "compile": ("model", "seed", "snapshot", "test", "unit_test", "analysis", "function"),
    "build": ("model", "seed", "snapshot", "test", "unit_test", "function"),
    "show": ("model", "snapshot", "seed", "source", "analysis", "test"),
    "source-freshness": ("source",),
}
"""What each command selects from, by dbt's own word (its event MainReportArgs)."""
EXECUTED = frozenset({"run", "test", "seed", "snapshot", "build"})
COMMANDS_HERE = (*sorted(EXECUTED), "compile", "show", "source-freshness", "list", "parse", "debug", "run-operation")
WITHOUT_ENTRIES = frozenset({"compile", "show"})
"""Commands of which dbt v2 writes a run_results.json without results."""

_LACKING = {
    "docs-generate": " (dbt v2 says of it that it is not supported)",
    "clone": " (dbt 2.0.0-preview.190 fails on DuckDB at each relation that is not there yet)",
}
"""Why commands are not taken."""
_CHECKED_FLAGS = frozenset(
    {
        "resource_types",
        "exclude_resource_types",
        "empty",
        "sample",
        "store_failures",
        "threads",
        "warn_error",
        "warn_error_options",
    }
)
"""Those of which tests say that dbt v2 does what dbt-core does."""
_WITHOUT_EFFECT_ON_RESULTS = frozenset(
    {"cache_selected_only", "populate_cache", "partial_parse", "static_parser", "use_fast_test_edges", "version_check"}
    | {"debug", "log_level_file", "log_format_file", "printer_width", "use_colors", "single_threaded"}
    | {"use_experimental_parser", "partial_parse_file_diff"}
)
"""About how dbt-core comes to its results, or shows them: dbt v2 has other ways."""
_FULL_REFRESH = frozenset({"build", "run", "seed", "compile"})
"""The commands that have it in dbt v2: others of its command line do not start with it."""
_NO_FIELDS_HERE = ("sources_ref", "inline")

_FAVOR_STATE_VARIABLES = ("DBT_ENGINE_FAVOR_STATE", "DBT_FAVOR_STATE")
_FAIL_FAST_VARIABLES = ("DBT_ENGINE_FAIL_FAST", "DBT_FAIL_FAST")
_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_SPELLED = {"resource_types": "resource-type", "exclude_resource_types": "exclude-resource-type"}


def refuse_unsupported(run_input: DbtRunInput, environ: Mapping[str, str]) -> None:
    """Raises Configuration where the input asks for what this engine does not do, naming it and what to do."""
    command = run_input.command
    if command not in COMMANDS_HERE:
        why = _LACKING.get(command, "")
        raise configuration_error(
            f"command: the engine v2 has {', '.join(COMMANDS_HERE)}, and not {command!r}{why}; let the project run on "
            "dbt-core for it"
        )
    fields = [name for name in _NO_FIELDS_HERE if getattr(run_input, name) is not None]
    for name in FLAGS:
        if getattr(run_input, name) is not None and name not in _CHECKED_FLAGS | _WITHOUT_EFFECT_ON_RESULTS:
            fields.append(name)
    if run_input.full_refresh and command not in _FULL_REFRESH:
        raise configuration_error(
            f"full_refresh: the command {command!r} of dbt v2 has none; it is for {', '.join(sorted(_FULL_REFRESH))}"
        )
    if command == "show" and run_input.output not in (None, "json"):
        raise configuration_error("output: on the engine v2, rows are shown as `json` alone")
    if fields:
        raise configuration_error(
            f"{fields[0]}: the engine v2 does not take it; leave it out, or let the project run on dbt-core"
        )
    favored = _first_of(environ, _FAVOR_STATE_VARIABLES)
    if run_input.defer_manifest_ref is not None and favored is not None and favored.lower() in _TRUE:
        # A further process would read from the deferred state what the run has built by then.
        raise configuration_error("DBT_FAVOR_STATE: the engine v2 does not take it; unset it, or run on dbt-core")


def selection(run_input: DbtRunInput) -> list[str]:
    """The words of the run's own selection."""
    words: list[str] = []
    for option, value in (("--select", run_input.select), ("--exclude", run_input.exclude)):
        if value:
            words += [option, *value.split()]
    if run_input.selector:
        words += ["--selector", run_input.selector]
    if run_input.indirect_selection:
        words += ["--indirect-selection", run_input.indirect_selection]
    return words


def exact_selection(unique_ids: Collection[str]) -> list[str]:
    """The words that select these nodes and no others: dbt takes unique_ids for names."""
    return ["--indirect-selection", "empty", "--select", *sorted(unique_ids)]


def listed_types(run_input: DbtRunInput) -> list[str]:
    """The words that have `list` select from what the run's command selects from; for `list` itself, the input's."""
    chosen = run_input.resource_types or RESOURCE_TYPES.get(run_input.command, ())
    words = ["--resource-type", *chosen] if chosen else []
    if run_input.exclude_resource_types:
        words += ["--exclude-resource-type", *run_input.exclude_resource_types]
    return words


def flags(run_input: DbtRunInput) -> list[str]:
    """The words of the flags that stand in the input, but for selection and types."""
    words: list[str] = []
    for option, switch in (("full-refresh", run_input.full_refresh), ("empty", run_input.empty)):
        if switch:
            words.append(f"--{option}")
    if run_input.sample is not None:
        words += ["--sample", run_input.sample if isinstance(run_input.sample, str) else json.dumps(run_input.sample)]
    if run_input.fail_fast is not None:
        words.append("--fail-fast" if run_input.fail_fast else "--no-fail-fast")
    if run_input.store_failures:
        words.append("--store-failures")
    if run_input.warn_error:
        words.append("--warn-error")
    if run_input.warn_error_options:
        words += ["--warn-error-options", json.dumps(run_input.warn_error_options)]
    if run_input.command == "show":
        words += ["--output", "json", *(["--limit", str(run_input.limit)] if run_input.limit is not None else [])]
    if run_input.event_time_start and run_input.event_time_end:
        words += ["--event-time-start", run_input.event_time_start, "--event-time-end", run_input.event_time_end]
    return words


def fail_fast(run_input: DbtRunInput, environ: Mapping[str, str], project: Mapping[str, Any]) -> bool:
    """dbt's resolved flag: of the input, the environment, the `flags:` of dbt_project.yml."""
    if run_input.fail_fast is not None:
        return run_input.fail_fast
    named = _first_of(environ, _FAIL_FAST_VARIABLES)
    if named is not None:
        return named.lower() in _TRUE
    of_project = project.get("flags")
    return isinstance(of_project, dict) and of_project.get("fail_fast") is True


def types(run_input: DbtRunInput) -> list[str]:
    """The words of the resource types that the input names, for the run's own command."""
    words: list[str] = []
    for name, option in _SPELLED.items():
        value = getattr(run_input, name)
        if value:
            words += [f"--{option}", *value]
    return words


def _first_of(environ: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def state_words(state: Path | None, defer: Path | None) -> list[str]:
    """The words of the artifacts of earlier runs, by the folders that have them here."""
    words = [] if state is None else ["--state", str(state)]
    if defer is not None:
        words += ["--defer", "--defer-state", str(defer)]
    return words


def variables(run_input: DbtRunInput) -> list[str]:
    return ["--vars", json.dumps(run_input.vars)] if run_input.vars else []


def command_words(command: str) -> Sequence[str]:
    """How dbt's command line calls a command."""
    return COMMANDS[command].words.split()
