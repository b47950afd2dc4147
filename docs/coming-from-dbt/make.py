"""Writes the tables of docs/coming-from-dbt.md: what our command line makes of each command and flag of dbt's.

dbt's are those of its own click commands; whether we take them is asked of ours, and why we do not of the code that
refuses them. Here stands what none of these knows: what is other about flags that are taken, what is to be said of
commands, and what dbt-core 1.12 alone has, so that the page is the same by whichever version it is made.

`make coming-from-dbt` does it; tests compare, with both versions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from dbt.cli.main import cli as dbt

from dbt_temporal.domain.run.commands import ABSENT
from dbt_temporal.entrypoints.cli.main import cli as ours
from dbt_temporal.entrypoints.cli.reading.words import DbtCommand, why_refused

PAGE = Path(__file__).parents[1] / "coming-from-dbt.md"
EVERY = "every command"

OF_COMMANDS: Mapping[str, str] = {
    "build": "",
    "clone": "`--state` may be a run: `latest:prod`",
    "compile": "prints the nodes that are named, or the inline query; the SQL of all is in run_results.json",
    "debug": "checks as the worker sees project and connection",
    "deps": "dbt's own `deps`, in the folders of this machine that a worker with the same environment would serve; a "
    "flag that is absent is taken from its variable (`DBT_LOG_PATH`). Workers install packages that are missing by "
    "themselves ([packages.md](packages.md))",
    "docs generate": "the site lies beside the run's artifacts",
    "docs serve": "of the newest `docs generate`, or of the run `ID`; as nothing is parsed, it has no flags for that",
    "list": "also `ls`",
    "parse": "stores manifest.json; workers parse without being told",
    "retry": "of the project's latest run, or of the run `ID`, wherever that was started "
    "([run-input.md](run-input.md#earlier-runs))",
    "run": "",
    "run-operation": "what the macro prints is on standard output; it is tried once",
    "seed": "",
    "show": "rows are on standard output",
    "snapshot": "",
    "source freshness": "also `source-freshness`",
    "source snapshot-freshness": "the old name of `source freshness`",
    "test": "",
}
"""What is to be said of dbt's commands, by the words of them. Why some are absent says our command line."""

ALIASES = {"ls": "list"}

_LOGS = "of the logs of nodes (`dbt-temporal logs ID NODE`), as there is no dbt.log"
_JSON = "a date, or a key that is no text, is refused: write it in quotes ([run-input.md](run-input.md#vars))"
OTHER: Mapping[str, str] = {
    "args": f"as `--vars`: {_JSON}",
    "debug": "the logs of nodes have all of dbt's events; this terminal has what `--log-level debug` says",
    "defer": "needs `--state` or, always with `retry`, `--defer-state` beside it",
    "defer_state": "as `--state`; refused without `--defer`",
    "log_format": "of this terminal: the run's own events, under dbt's names "
    "([running-and-following.md](running-and-following.md#formats-and-levels))",
    "log_format_file": _LOGS,
    "log_level": "as `--log-format`, with warnings of dbt and of the project; "
    "statements and all else that dbt logs are in the logs of nodes",
    "log_level_file": _LOGS,
    "print": "what macros print is in the run's log and in those of nodes; "
    "with `--quiet` it is all that a run that goes well tells",
    "printer_width": _LOGS,
    "selector": "refused beside `--select` and `--exclude`, which dbt ignores there",
    "state": "a folder (the worker must see it under the same path), a URL, or a run: `latest:prod`, an invocation id "
    "([operations.md](operations.md#artifacts-at-an-address-that-does-not-move)). Of `retry`, where that run's "
    "run_results.json lies",
    "vars": _JSON,
}
"""What is other about flags that both have; those that are not here are the same."""

NOT_FLAGS: Mapping[str, str] = {
    f"deprecated_{name}": "dbt's own: it stands for a variable that was renamed"
    for name in ("defer", "favor_state", "print", "state")
}
"""Options of dbt's that nobody is to give."""


@dataclass(frozen=True)
class Option:
    """An option or an argument of dbt's.

    Attributes:
        name: as dbt's flags have it.
        words: all that may be written for it: `-x`, `--fail-fast`, `--no-fail-fast`.
        since: the first dbt-core that has it, where 1.11 has not.
    """

    name: str
    words: tuple[str, ...]
    since: str = ""

    def __str__(self) -> str:
        shown = []
        for word in sorted(self.words, key=lambda word: word.startswith("--")):
            if word.startswith("--") and f"--no-{word[2:]}" in self.words:
                shown.append(f"--[no-]{word[2:]}")
            elif not (word.startswith("--no-") and f"--{word[5:]}" in self.words):
                shown.append(word)
        return f"`{' '.join(shown)}`" + (f" ({self.since})" if self.since else "")


def _since_1_12(name: str, *, switch: bool = False) -> Option:
    words = name.replace("_", "-")
    return Option(name, (f"--{words}", f"--no-{words}") if switch else (f"--{words}",), "1.12")


ADDED: Mapping[str, tuple[Option, ...]] = {
    EVERY: (
        _since_1_12("hints_enabled", switch=True),
        _since_1_12("maximum_seed_size_mib"),
        _since_1_12("use_v2_parser", switch=True),
        _since_1_12("v2_parser"),
    ),
    "init": (_since_1_12("skip_debug"),),
    "run-operation": (_since_1_12("sql"),),
    "seed": (_since_1_12("empty", switch=True),),
}
"""What dbt-core 1.12 alone has."""


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """dbt's commands, by the words of them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


DBT = {words: command for words, command in commands(dbt) if words not in ALIASES}


def words_of(param: click.Parameter) -> tuple[str, ...]:
    """All that may be written for it; of an argument, its name in capitals."""
    written = (*param.opts, *param.secondary_opts) if isinstance(param, click.Option) else (str(param.name).upper(),)
    return tuple(filter(str.strip, written))


def options(params: Iterable[click.Parameter], words: str) -> dict[str, Option]:
    """Options and arguments, by name, and those that another version has."""
    found = {option.name: option for option in ADDED.get(words, ())}
    for param in params:
        found.setdefault(str(param.name), Option(str(param.name), words_of(param)))
    return dict(sorted(found.items()))


OF_EVERY = {
    name: option
    for name, option in options(dbt.params, EVERY).items()
    if option.since or all(name in {param.name for param in command.params} for command in DBT.values())
}
"""Flags that every command of dbt's has."""
OF_THE_PROGRAM = {
    name: option for name, option in options(dbt.params, EVERY).items() if name == "version" or name not in OF_EVERY
}


def own(words: str) -> dict[str, Option]:
    """Options that a command has for itself, or shares with some."""
    return {name: each for name, each in options(DBT[words].params, words).items() if name not in OF_EVERY}


def our_command(words: str) -> click.Command | None:
    """Ours of the same words."""
    found: click.Command | None = ours
    for word in words.split():
        found = found.commands.get(word) if isinstance(found, click.Group) else None
    return found


def verdict(option: Option, command: click.Command | None) -> str:
    """Whether our command has the option: `same`, `other` or `absent`.

    Raises:
        ValueError: it takes some of its words alone.
    """
    written = {word for param in (command.params if command else ()) for word in words_of(param)}
    taken = written & set(option.words)
    if not taken:
        return "absent"
    if taken != set(option.words):
        raise ValueError(f"{option}: {command} takes {taken} alone")
    return "other" if OTHER.get(option.name) and isinstance(command, DbtCommand) else "same"


def reason(option: Option, command: click.Command) -> str:
    """What is other about an option, or why there is none.

    Raises:
        ValueError: that is said nowhere.
    """
    long = next((word for word in option.words if word.startswith("--")), option.name)
    text = OTHER.get(option.name) if verdict(option, command) == "other" else why_refused(str(command.name), long)
    text = text or NOT_FLAGS.get(option.name)
    if not text:
        raise ValueError(f"{option} of {command.name}: say why it is not here")
    return text


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    columns = head.count("|") - 1
    return "\n".join([head, f"|{' --- |' * columns}", *(f"| {' | '.join(row)} |" for row in rows)])


def commands_table() -> str:
    """dbt's commands, and ours."""
    rows = []
    for words in sorted(DBT):
        here = f"`dbt-temporal {words}`" if our_command(words) else "absent"
        rows.append((f"`dbt {words}`", here, ABSENT.get(words) or OF_COMMANDS[words]))
    return table("| dbt | here | |", rows)


VERDICTS = ("same", "other", "absent")


def _row(title: str, given: Mapping[str, Option], command: click.Command | None, others: str = "") -> tuple[str, ...]:
    cells = {each: [str(option) for option in given.values() if verdict(option, command) == each] for each in VERDICTS}
    if others:
        cells["absent"].append(others)
    return title, *(", ".join(cells[each]) for each in VERDICTS)


def flags_table() -> str:
    """The flags of each command."""
    rows = [
        _row("`dbt`, before the command", OF_THE_PROGRAM, ours),
        _row(f"**{EVERY}**", OF_EVERY, our_command("build")),
    ]
    for words in sorted(DBT):
        command = our_command(words)
        if isinstance(command, DbtCommand):
            rows.append(_row(f"`{words}`", own(words), command))
        else:
            taken = {name: each for name, each in OF_EVERY.items() if verdict(each, command) != "absent"}
            rows.append(_row(f"`{words}`", taken | own(words), command, f"what {EVERY} has besides"))
    return table("| command | same | other | absent |", rows)


def reasons_table() -> str:
    """What is other, and why flags are absent, of commands that make a run."""
    texts: dict[tuple[str, str, str, str], list[str]] = {}
    having: Counter[str] = Counter()
    for words in sorted(DBT):
        command = our_command(words)
        if not isinstance(command, DbtCommand):
            continue
        for option in (OF_THE_PROGRAM | OF_EVERY | own(words)).values():
            having[option.name] += 1
            kind = verdict(option, command)
            if kind != "same":
                texts.setdefault((option.name, str(option), kind, reason(option, command)), []).append(words)
    rows = []
    for (name, shown, kind, text), of in sorted(texts.items()):
        only = "" if len(of) == having[name] else f" of {', '.join(f'`{words}`' for words in of)}"
        rows.append((f"{shown}{only}", kind, text))
    return table("| flag | here | |", rows)


def filled(text: str) -> str:
    """The page with its tables as they are now."""
    for name, made in (("commands", commands_table()), ("flags", flags_table()), ("reasons", reasons_table())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{made}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
