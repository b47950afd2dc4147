"""A run's input as words of dbt v2's command line, and what of it this engine does not do."""

from __future__ import annotations

import json
import re
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
    "docs-generate": ("model", "seed", "snapshot", "test", "unit_test", "analysis", "function"),
    "clone": ("model", "seed", "snapshot"),
    "build": ("model", "seed", "snapshot", "test", "unit_test", "function"),
    "show": ("model", "snapshot", "seed", "source", "analysis", "test"),
    "source-freshness": ("source",),
}
"""What each command selects from, by dbt's own word (its event MainReportArgs)."""
EXECUTED = frozenset({"run", "test", "seed", "snapshot", "build", "clone"})
WITHOUT_ENTRIES = frozenset({"compile", "docs-generate", "show"})
"""Commands of which dbt v2 writes a run_results.json without results."""
_CALLED = {"docs-generate": ("compile", "--write-catalog")}
"""Commands that dbt v2 has under other words: of its `docs generate` it says that these are to be used."""
_CHECKED_FLAGS = frozenset(
    {
        "resource_types",
        "exclude_resource_types",
        "empty",
        "favor_state",
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
_FULL_REFRESH = frozenset({"build", "clone", "run", "seed", "compile", "docs-generate"})
"""The commands that have it in dbt v2: others of its command line do not start with it."""
_NO_FIELDS_HERE = ("sources_ref",)
_CATALOG_ALONE = {"compile": True, "static": False, "empty_catalog": False}
"""Flags of `docs generate` that `compile --write-catalog` has not: what it does without being asked."""
_STATE_VARIABLES = ("DBT_ENGINE_STATE", "DBT_STATE", "DBT_ENGINE_DEFER_STATE", "DBT_DEFER_STATE")

_FAVOR_STATE_VARIABLES = ("DBT_ENGINE_FAVOR_STATE", "DBT_FAVOR_STATE")
_FAIL_FAST_VARIABLES = ("DBT_ENGINE_FAIL_FAST", "DBT_FAIL_FAST")
_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_SPELLED = {"resource_types": "resource-type", "exclude_resource_types": "exclude-resource-type"}


def refuse_unsupported(run_input: DbtRunInput, environ: Mapping[str, str]) -> None:
    """Raises Configuration where the input asks for what this engine does not do, naming it and what to do."""
    command = run_input.command
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
    if command == "clone":
        _refuse_unsupported_clone(run_input, environ)
    for name, does in _CATALOG_ALONE.items():
        if command == "docs-generate" and getattr(run_input, name) not in (None, does):
            raise configuration_error(
                f"{name}: docs-generate of the engine v2 is `dbt compile --write-catalog`, which has no such flag; "
                "leave it out, or let the project run on dbt-core"
            )
    if fields:
        raise configuration_error(
            f"{fields[0]}: the engine v2 does not take it; leave it out, or let the project run on dbt-core"
        )


def _refuse_unsupported_clone(run_input: DbtRunInput, environ: Mapping[str, str]) -> None:
    for name, option in _SPELLED.items():
        if getattr(run_input, name):
            raise configuration_error(
                f"{name}: dbt v2 says of `clone`: unexpected argument '--{option}'; select by `resource_type:`, or let "
                "the project run on dbt-core"
            )
    given = (run_input.state_manifest_ref, run_input.defer_manifest_ref, _first_of(environ, _STATE_VARIABLES))
    if not any(given):
        raise configuration_error(
            "state_manifest_ref: dbt v2 says of `clone`: Use --state or --defer-state to provide a state manifest for "
            "cloning; name one here"
        )


def selection(run_input: DbtRunInput) -> list[str]:
    """The words of the run's own selection."""
    words: list[str] = []
    for option, value in (("--select", run_input.select), ("--exclude", run_input.exclude)):
        if value:
            words += [option, *value.split()]
    if run_input.selector:
        words += ["--selector", run_input.selector]
    if run_input.indirect_selection:
        words += indirect(run_input.indirect_selection)
    return words


def inline(query: str) -> list[str]:
    """The word of an inline query, as one: it may begin with a comment, which would be an option."""
    return [f"--inline={query}"]


def exact_selection(unique_ids: Collection[str]) -> list[str]:
    """The words that select these nodes and no others: dbt takes unique_ids for names, but for those of sources."""
    names = (re.sub(r"^source\.", "source:", unique_id) for unique_id in sorted(unique_ids))
    return [*indirect("empty"), "--select", *names]


def indirect(mode: str) -> list[str]:
    """The words that say which tests come along with what is selected."""
    return ["--indirect-selection", mode]


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


def state_words(state: Path | None, defer: Path | None, favor: bool | None = None) -> list[str]:
    """The words of the artifacts of earlier runs, by the folders that have them here, and of `favor_state`."""
    words = [] if state is None else ["--state", str(state)]
    if defer is not None:
        words += ["--defer", "--defer-state", str(defer)]
    if defer is not None and favor is not None:
        words.append("--favor-state" if favor else "--no-favor-state")
    return words


def favors_state(run_input: DbtRunInput, environ: Mapping[str, str]) -> bool:
    """dbt's resolved flag: of the input, else of the environment."""
    if run_input.favor_state is not None:
        return run_input.favor_state
    return (_first_of(environ, _FAVOR_STATE_VARIABLES) or "").lower() in _TRUE


def variables(run_input: DbtRunInput) -> list[str]:
    return ["--vars", json.dumps(run_input.vars)] if run_input.vars else []


def command_words(command: str) -> Sequence[str]:
    """How the command line of dbt v2 calls a command."""
    return _CALLED.get(command) or COMMANDS[command].words.split()
