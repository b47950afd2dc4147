"""The `dbt ...` command line that a run's input stands for: its options, and the words of it.

The words are what dbt records as its own command, and shows to Jinja: it takes them from `sys.argv` (dbt/cli/flags.py,
`INVOCATION_COMMAND`; checked on dbt-core 1.11.16 and 1.12.0).
"""

from __future__ import annotations

import json
import posixpath
from datetime import UTC, datetime
from typing import Any

import yaml

from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

_OF_SEVERAL_WORDS = ("--select", "--exclude", "--output-keys")


def command_line(invocation: DbtInvocation) -> list[str]:
    """`["dbt", "build", "--select", "a", ...]`, with each option in the word order of dbt's own help.

    A run that retries another one stands for `dbt retry`, with what its caller gave.
    """
    run_input = invocation.input
    words = ["dbt", *COMMANDS[run_input.command].words.split()]
    if run_input.retry_from:
        words = ["dbt", "retry"]
        defaults = DbtRunInput()
        run_input = run_input.model_copy(update={name: getattr(defaults, name) for name in invocation.taken_over})
    words += filter(None, [run_input.macro])
    for option, value in (
        ("--select", run_input.select),
        ("--exclude", run_input.exclude),
        ("--selector", run_input.selector),
        ("--indirect-selection", run_input.indirect_selection),
        ("--vars", json.dumps(run_input.vars) if run_input.vars else None),
        ("--target", run_input.target),
        ("--event-time-start", event_time(run_input.event_time_start)),
        ("--event-time-end", event_time(run_input.event_time_end)),
        ("--state", state_folder(run_input.state_manifest_ref)),
        ("--defer-state", state_folder(run_input.defer_manifest_ref)),
        ("--args", json.dumps(run_input.args) if run_input.args else None),
        ("--sql", run_input.sql),
        ("--inline", run_input.inline),
        ("--limit", None if run_input.limit is None else str(run_input.limit)),
        ("--output", run_input.output),
        ("--output-keys", " ".join(run_input.output_keys or ())),
    ):
        if value:
            words += [option, *value.split()] if option in _OF_SEVERAL_WORDS else [option, value]
    words += _flag_words(run_input)
    for option, switch in (
        ("--defer", run_input.defer_manifest_ref),
        ("--full-refresh", run_input.full_refresh),
        ("--static", run_input.static),
        ("--empty-catalog", run_input.empty_catalog),
        ("--connection", run_input.connection),
        ("--no-compile", run_input.compile is False),
    ):
        if switch:  # dbt has no word for "without a full refresh"
            words.append(option)
    if run_input.fail_fast is not None:
        words.append("--fail-fast" if run_input.fail_fast else "--no-fail-fast")
    return words


def _flag_words(run_input: DbtRunInput) -> list[str]:
    words: list[str] = []
    for name, flag in FLAGS.items():
        value = getattr(run_input, name)
        option = name.replace("_", "-")
        match value:
            case None:
                continue
            case True:
                words.append(f"--{option}")
            case False:
                words += [f"--no-{option}"] if flag.has_no else []
            case list():
                words += [f"--{option}", *value]
            case dict():
                words += [f"--{option}", json.dumps(value)]
            case _:
                words += [f"--{option}", str(value)]
    return words


def flag_params(run_input: DbtRunInput) -> dict[str, Any]:
    """The options by their names with underscores; those that are None are left to dbt's own resolution.

    `state` and `defer_state` name what the input names, of which a run has copies (`run/state.py`).
    """
    return {
        **{name: _param(getattr(run_input, name)) for name in FLAGS},
        "select": run_input.select.split() if run_input.select else None,
        "exclude": run_input.exclude.split() if run_input.exclude else None,
        "selector": run_input.selector,
        "indirect_selection": run_input.indirect_selection,
        "full_refresh": run_input.full_refresh,
        "fail_fast": run_input.fail_fast,
        "defer": True if run_input.defer_manifest_ref else None,
        "state": state_folder(run_input.state_manifest_ref),
        "defer_state": state_folder(run_input.defer_manifest_ref),
        "event_time_start": event_time(run_input.event_time_start),
        "event_time_end": event_time(run_input.event_time_end),
        "macro": run_input.macro,
        "args": yaml.safe_dump(run_input.args, allow_unicode=True) if run_input.args else None,
        "sql": run_input.sql,
        "inline": run_input.inline,
        "limit": run_input.limit,
        "output": run_input.output,
        "output_keys": run_input.output_keys,
        "compile": run_input.compile,
        # dbt has no words for "without" these.
        "static": run_input.static or None,
        "empty_catalog": run_input.empty_catalog or None,
        "connection": run_input.connection or None,
    }


def _param(value: Any) -> Any:
    """A mapping as the text in which dbt's command line takes it."""
    return json.dumps(value) if isinstance(value, dict) else value


def event_time(text: str | None) -> str | None:
    """A time as dbt's command line takes it: without a time zone, which it reads as UTC, and to the second."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None and not time.microsecond:
        return text
    in_utc = time if time.tzinfo is None else time.astimezone(UTC)
    return in_utc.replace(tzinfo=None, microsecond=0).isoformat()


def state_folder(reference: str | None) -> str | None:
    """What `dbt --state` takes in the place of a reference: the folder of the artifact."""
    if reference is not None and reference.endswith(".json"):
        return posixpath.dirname(reference) or "."
    return reference
