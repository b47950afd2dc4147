"""The `dbt ...` command line that a run's input stands for: what dbt records as its own, and shows to Jinja.

dbt takes it from `sys.argv` (dbt/cli/flags.py, `INVOCATION_COMMAND`; checked on dbt-core 1.11.16 and 1.12.0).
"""

from __future__ import annotations

import json

from dbt_temporal.domain.run.input import DbtRunInput

_SPACED = {"source-freshness": ["source", "freshness"]}


def command_line(run_input: DbtRunInput) -> list[str]:
    """`["dbt", "build", "--select", "a", ...]`, with each option in the word order of dbt's own help."""
    words = ["dbt", *_SPACED.get(run_input.command, [run_input.command])]
    for option, value in (
        ("--select", run_input.select),
        ("--exclude", run_input.exclude),
        ("--selector", run_input.selector),
        ("--indirect-selection", run_input.indirect_selection),
        ("--vars", json.dumps(run_input.vars) if run_input.vars else None),
        ("--target", run_input.target),
        ("--event-time-start", run_input.event_time_start),
        ("--event-time-end", run_input.event_time_end),
        ("--state", run_input.state_manifest_ref),
        ("--defer-state", run_input.defer_manifest_ref),
    ):
        if value:
            words += [option, *value.split()] if option in ("--select", "--exclude") else [option, value]
    for option, switch in (
        ("defer", True if run_input.defer_manifest_ref else None),
        ("full-refresh", run_input.full_refresh),
        ("fail-fast", run_input.fail_fast),
    ):
        if switch is not None:
            words.append(f"--{option}" if switch else f"--no-{option}")
    return words
