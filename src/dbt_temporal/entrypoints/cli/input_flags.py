"""Options of our command line for dbt's flags that the run's input has under their own names: one for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import click

from dbt_temporal.domain.run.flags import FLAGS, FileLogFormat, FileLogLevel, Flag
from dbt_temporal.entrypoints.cli.values import read_mapping, read_sample

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_SHORT = {"debug": ["-d"]}
_VALUES: Mapping[str, dict[str, Any]] = {
    "resource_types": {"multiple": True, "metavar": "TYPE"},
    "exclude_resource_types": {"multiple": True, "metavar": "TYPE"},
    "sample": {"metavar": "WINDOW", "callback": read_sample},
    "threads": {"type": click.IntRange(min=1)},
    "maximum_seed_size_mib": {"type": click.IntRange(min=1)},
    "printer_width": {"type": click.IntRange(min=1)},
    "sqlparse": {"metavar": "YAML", "callback": read_mapping},
    "warn_error_options": {"metavar": "YAML", "callback": read_mapping},
    "log_level_file": {"type": click.Choice(get_args(FileLogLevel), case_sensitive=False)},
    "log_format_file": {"type": click.Choice(get_args(FileLogFormat), case_sensitive=False)},
}
"""Those that take a value; the others are switches."""

_HELP = {
    "resource_types": "Only nodes of these types.",
    "exclude_resource_types": "No nodes of these types.",
    "empty": "Take no rows from references and sources: builds the relations, without data.",
    "sample": "Only rows of a window of event time: '3 days', or {start: 2026-01-01, end: 2026-01-03}.",
    "store_failures": "Keep the rows of failed tests in tables.",
    "favor_state": "With --defer, take from the --state manifest also what is there already.",
    "export_saved_queries": "Taken as dbt takes it; dbt-core itself does nothing by it.",
    "include_saved_query": "Taken as dbt takes it; dbt-core itself does nothing by it.",
    "threads": "How many nodes run at once, instead of the profile's `threads`.",
    "single_threaded": "One node at once, on the main thread.",
    "cache_selected_only": "Ask the database only for relations in the schemas of selected nodes.",
    "populate_cache": "Ask the database for existing relations as the run begins.",
    "introspect": "Let queries run that compiling asks for.",
    "inject_ephemeral_ctes": "Put ephemeral models into the compiled SQL.",
    "sqlparse": "Limits of the SQL parser.",
    "warn_error": "Make an error of each warning.",
    "warn_error_options": "Which warnings are errors, warnings or silent: {error: all, warn: [], silence: []}.",
    "partial_parse": "Begin a parse from what the last one knew.",
    "partial_parse_file_diff": "Look for what has changed since then.",
    "static_parser": "Read simple models without Jinja.",
    "use_experimental_parser": "Use the parser's experimental parts.",
    "use_fast_test_edges": "Find out faster which nodes wait for which tests.",
    "version_check": "Check the dbt version that the project asks for.",
    "maximum_seed_size_mib": "Up to which size seeds are compared by their content (from dbt-core 1.12 on).",
    "write_json": "Store artifacts other than the log.",
    "debug": "As --log-level debug; and have all of dbt's events in the logs of nodes.",
    "log_level_file": "What the logs of nodes have at least.",
    "log_format_file": "How the logs of nodes are written.",
    "print": "Let print() of macros be heard.",
    "printer_width": "Width of lines in the logs of nodes.",
    "use_colors": "Colors in messages, and on this terminal.",
}


_OF_THIS_TERMINAL = frozenset({"debug", "print", "use_colors"})
"""Flags that say something of this terminal, too: what its environment says by dbt's variables for them counts."""


def of_variable(name: str) -> dict[str, Any]:
    """Facts of an option that dbt's variables for a flag give a value to, where it is not given: the new name first."""
    words = name.upper()
    return {"envvar": [f"DBT_ENGINE_{words}", f"DBT_{words}"], "show_envvar": True}


def flag_options(command: str) -> list[Decorator]:
    """Those of a command, in the order of the table."""
    return [_option(name, flag) for name, flag in FLAGS.items() if not flag.commands or command in flag.commands]


def given_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the run's input, of those that were given."""
    given = {name: flags[name] for name in FLAGS if flags.get(name) not in (None, ())}
    return {name: _words(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _words(values: tuple[str, ...]) -> list[str]:
    return [word for value in values for word in value.split()]


def _option(name: str, flag: Flag) -> Decorator:
    words = name.replace("_", "-")
    facts = _VALUES.get(name)
    spelling = f"--{words}"
    if facts is None:
        facts = {"is_flag": True, "default": None}
        spelling += f"/--no-{words}" if flag.has_no else ""
    names = [*_SHORT.get(name, []), spelling, *([f"--{words[:-1]}"] if facts.get("multiple") else [])]
    variable = of_variable(name) if name in _OF_THIS_TERMINAL else {}
    return click.option(*names, name, help=_HELP[name], hidden=flag.hidden, **facts, **variable)
