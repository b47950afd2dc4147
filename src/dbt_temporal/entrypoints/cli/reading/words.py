"""Commands that read their words as dbt's do: several values of one flag, flags before the command, and what dbt has
and we have not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import click

from dbt_temporal.domain.run.commands import ABSENT
from dbt_temporal.domain.run.flags import REFUSED
from dbt_temporal.entrypoints.cli.flags import RUN_FLAGS, STATE_FLAGS, SUBMIT_FLAGS, with_flags
from dbt_temporal.entrypoints.cli.input_flags import flag_options

MULTI_VALUE_FLAGS = frozenset(
    {"-s", "--select", "-m", "--models", "--model", "--exclude", "--output-keys"}
    | {f"--{each}resource-type{s}" for each in ("", "exclude-") for s in ("", "s")}
)
"""Flags of dbt that take all values up to the next flag: `--select a b` is `--select a --select b`."""

REFUSED_HERE: Mapping[str, str] = {
    "version": "`dbt-temporal --version` says the versions",
    "show_resource_report": "it is about dbt's own process; the worker has metrics",
}
"""dbt's flags that are about its program and no run, and that our commands do not take: why."""

REFUSED_OF: Mapping[tuple[str, str], str] = {
    ("source-freshness", "output"): "sources.json goes to the worker's ARTIFACT_STORE",
}
"""The same of single commands, by command and flag."""

_SHORT = {"o": "output", "r": "record_timing_info", "v": "version", "V": "version"}
_OF_THE_PROGRAM = frozenset({"-h", "--help", "-v", "-V", "--version"})
_REFUSED_WITH_A_VALUE = frozenset(
    {"-r", "--record-timing-info", "--profile", "--v2-parser", "--partial-parse-file-path"}
    | {f"--log-{each}" for each in ("path", "file-max-bytes")}
    | {f"--deprecated-{each}" for each in ("defer", "favor-state", "state")}
)

_COMMON: Sequence[click.Parameter] = click.command()(
    with_flags([*STATE_FLAGS, *RUN_FLAGS, *flag_options("parse"), *SUBMIT_FLAGS])(lambda **_flags: None)
).params
WITH_A_VALUE = _REFUSED_WITH_A_VALUE | {
    opt for param in _COMMON if isinstance(param, click.Option) and not param.is_flag for opt in param.opts
}
"""Flags of all commands, ours and dbt's, that have a value behind them."""


class DbtCommand(click.Command):
    """A command that reads its arguments as dbt does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spells out flags with several values, then parses; flags that dbt has and we have not say where to turn."""
        try:
            return super().parse_args(ctx, spell_out_multi_values(args))
        except click.NoSuchOption as error:
            reason = why_refused(str(self.name), error.option_name)
            if reason is None:
                raise
            raise click.UsageError(f"{error.option_name} is not given here: {reason}.", ctx) from error


class DbtGroup(click.Group):
    """A group of commands in which, as with dbt, flags may stand before the command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses; flags before the command are those of the command."""
        return super().parse_args(ctx, behind_the_command(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command; one that dbt has and we have not says where to turn."""
        if args[0] in ABSENT and args[0] not in self.commands:
            raise click.UsageError(f"There is no command {args[0]!r} here: {ABSENT[args[0]]}.", ctx)
        return super().resolve_command(ctx, args)


def why_refused(command: str, option: str) -> str | None:
    """Why a command of ours does not take a flag of dbt's; None where it is no flag of dbt's, or is taken.

    Args:
        command: by the run contract's name.
        option: as it was written: `--no-use-colors-file`.
    """
    name = option.lstrip("-").removeprefix("no-").replace("-", "_")
    name = _SHORT.get(name, name)
    return REFUSED_OF.get((command, name)) or REFUSED_HERE.get(name) or REFUSED.get(name)


def behind_the_command(args: Sequence[str]) -> list[str]:
    """Moves flags that stand before the command behind it. Where one stands there, too, that one counts.

    `--warn-error build -s a` is `build --warn-error -s a`. What our program itself takes stays where it is.
    """
    ahead: list[str] = []
    words = list(args)
    while words and words[0].startswith("-") and words[0] not in _OF_THE_PROGRAM:
        ahead.append(words.pop(0))
        if words and ahead[-1] in WITH_A_VALUE:
            ahead.append(words.pop(0))
    return [words[0], *ahead, *words[1:]] if words else list(args)


def spell_out_multi_values(args: Iterable[str]) -> list[str]:
    """Repeats a multi-value flag before each of its values."""
    spelled: list[str] = []
    flag, has_value = "", False
    for arg in args:
        if arg.startswith("-"):
            name, separator, _ = arg.partition("=")
            flag, has_value = (name, bool(separator)) if name in MULTI_VALUE_FLAGS else ("", False)
        elif flag and has_value:
            spelled.append(flag)
        elif flag:
            has_value = True
        spelled.append(arg)
    return spelled
