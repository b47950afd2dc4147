"""A command line of dbt as input of a run, by dbt's own parser.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `dbt.cli.flags.args_to_context`, names and variables
of its options.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from dbt.cli.flags import args_to_context

from dbt_temporal.domain.run.input import DbtRunInput

_ROUTED = {
    "docs generate": "docs-generate",
    **{
        name: name
        for name in ("run", "build", "test", "seed", "snapshot", "compile", "clone", "run-operation", "parse")
    },
}
"""Our names by dbt's. `show` and `debug` give back tables and checks that no artifact holds; `list` and `source
freshness` are started by no scenario of the package."""
_FIELDS = {"models": "select", "state": "state_manifest_ref"}
_WITHOUT_EFFECT_ON_RESULTS = frozenset(
    [
        *("project_dir", "profiles_dir", "threads", "single_threaded", "send_anonymous_usage_stats", "write_json"),
        *("debug", "quiet", "print", "printer_width", "use_colors", "use_colors_file", "show", "output"),
        *("log_format", "log_format_file", "log_level", "log_level_file", "log_path"),
    ]
)
"""They say how dbt prints and where it finds the project, which the router says itself."""
_LISTS = frozenset({"select", "exclude"})


class NotOursError(Exception):
    """A command line that no input of ours stands for; the message says why."""


@dataclass(frozen=True)
class RunRequest:
    """What a command line asks for: an input, of which `env` has the options that have no field of their own."""

    context: click.Context
    input: dict[str, Any] = field(default_factory=dict)

    def option(self, name: str) -> Any:
        """What the command line says for an option, before or behind the command; None where it does not."""
        return dict(_given(self.context)).get(name)


def run_request(args: Sequence[str]) -> RunRequest:
    """Reads a command line.

    Raises:
        NotOursError: the command, or one of its options, has nothing that stands for it, or dbt refuses it.
    """
    words = [str(arg) for arg in args]
    try:
        context = args_to_context(words)
    except click.UsageError as error:
        raise NotOursError("a command line that dbt refuses") from error
    command = " ".join(words[:2]) if words[0] == "docs" else str(context.info_name)
    if command not in _ROUTED:
        raise NotOursError(f"`dbt {command}`")
    given = dict(_given(context))
    raw: dict[str, Any] = {"command": _ROUTED[command]}
    env: dict[str, str] = {}
    for name, value in given.items():
        if name in _WITHOUT_EFFECT_ON_RESULTS or name in ("defer", "defer_state"):
            continue
        _put(raw, env, name, value, context, words)
    if given.get("defer"):
        raw["defer_manifest_ref"] = str(given.get("defer_state") or given["state"])
    if env:
        raw["env"] = env
    return RunRequest(context, raw)


def _given(context: click.Context | None) -> list[tuple[str, Any]]:
    """Options that the command line names, those of the command itself last."""
    if context is None:
        return []
    own = [
        (name, value)
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    return [*_given(context.parent), *own]


def _put(
    raw: dict[str, Any], env: dict[str, str], name: str, value: Any, context: click.Context, words: Sequence[str]
) -> None:
    known = _FIELDS.get(name, name)
    if known in _LISTS:
        raw[known] = " ".join(value)
    elif known in DbtRunInput.model_fields:
        raw[known] = _plain(value)
    else:
        option = _option(name, context)
        env[_variable(option)] = _text(value) if _is_text_of_it(value) else _spelled(option, words)


def _option(name: str, context: click.Context) -> click.Parameter:
    """The option, if dbt takes it from the environment, too."""
    commands = [each.command for each in (context, context.parent) if each is not None]
    options = [option for command in commands for option in command.params if option.name == name and option.envvar]
    if not options:
        raise NotOursError(f"`--{name.replace('_', '-')}` of `dbt {context.info_name}`")
    return options[0]


def _variable(option: click.Parameter) -> str:
    variable = option.envvar
    # The older of dbt's two names for it.
    return variable if isinstance(variable, str) else list(variable or ())[-1]


def _is_text_of_it(value: Any) -> bool:
    return isinstance(value, (str, int, float, list, tuple, dict))


def _spelled(option: click.Parameter, words: Sequence[str]) -> str:
    """What the command line says for an option, before dbt made an object of it."""
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in option.opts:
            return value or words[number + 1]
    raise AssertionError(f"{option.opts} is not in {words}")


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(str(each) for each in value)
    return json.dumps(value) if isinstance(value, (bool, dict)) else str(value)
