"""Shells that complete our command line: what click has for them, with dbt's flags of several values, and a bash that
breaks words at other characters than we do.
"""

from __future__ import annotations

import os
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from dbt_temporal.entrypoints.cli.reading.words import spell_out_multi_values

PROGRAM = "dbt-temporal"
COMPLETE_VARIABLE = "_DBT_TEMPORAL_COMPLETE"
"""By which a shell asks our program for completions; click makes it of the program's name."""

_BASH = """\
%(complete_func)s() {
    local answer line
    COMPREPLY=()
    answer=$(IFS=$'\\n'; env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" REPLACED="$2" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null) || return 0
    while IFS= read -r line; do
        case "$line" in
            plain,*) COMPREPLY+=("${line#plain,}") ;;
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
        esac
    done <<< "$answer"
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""


class _DbtWords(ShellComplete):
    """Completes further values of dbt's flags that take several: `--select orders <TAB>`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        if not incomplete.startswith("-"):
            args = spell_out_multi_values([*args, incomplete])[:-1]
        try:
            return super().get_completions(args, incomplete)
        except click.ClickException:  # such words are refused; whoever runs them hears why
            return []


class Bash(_DbtWords, BashComplete):
    """bash breaks words at `:`, `=` and `@`, and replaces a part of what we complete: it says which."""

    source_template: ClassVar[str] = _BASH
    _shown_already = 0

    def source(self) -> str:
        # Without a look at the version of the bash that is found first: the script suits old ones, too.
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        words = os.environ["COMP_WORDS"].split("\n")
        current = int(os.environ["COMP_CWORD"])
        before, incomplete = bash_words(words[: current + 1])
        value = incomplete.partition("=")[2] if incomplete.startswith("--") and "=" in incomplete else incomplete
        self._shown_already = max(len(value) - len(_unquoted(os.environ.get("REPLACED", value))), 0)
        return before[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value[self._shown_already :]}"


class Zsh(_DbtWords, ZshComplete):
    """zsh, as click has it."""


class Fish(_DbtWords, FishComplete):
    """fish, as click has it."""


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def script(shell: str) -> str:
    """The script that has a shell ask us."""
    return SHELLS[shell](click.Group(PROGRAM), {}, PROGRAM, COMPLETE_VARIABLE).source()


def answer_shells() -> None:
    """Has click answer these shells."""
    for name, kind in SHELLS.items():
        add_completion_class(kind, name)


def bash_words(words: list[str]) -> tuple[list[str], str]:
    """What bash has broken, as one word again: the words before the incomplete one, and that.

    Args:
        words: those up to the one at the cursor, as bash has them.
    """
    joined: list[str] = []
    goes_on = False
    for word in words:
        is_break = bool(word) and not word.strip(":=@")
        if joined and word and (goes_on or (is_break and word != "@")):
            joined[-1] += word
        else:
            joined.append(word)
        goes_on = is_break
    *before, incomplete = map(_unquoted, joined)
    return before, incomplete


def _unquoted(word: str) -> str:
    return (split_arg_string(word) or [""])[0]
