"""dbt's commands, each declared once: how it is called, and which fields of the input it has for itself.

What the engine does for a command stands beside dbt's task of it (`adapters/dbt_core/process/run/tasks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dbt_temporal.domain.run.flags import FLAGS

Command = Literal[
    "run",
    "build",
    "test",
    "seed",
    "snapshot",
    "clone",
    "compile",
    "show",
    "list",
    "source-freshness",
    "docs-generate",
    "run-operation",
    "parse",
    "debug",
    "retry",
]


@dataclass(frozen=True)
class CommandFacts:
    """One command.

    Attributes:
        words: how dbt's command line calls it; the last of them is what dbt's artifacts call it (`which`).
        fields: fields of the run's input that only some commands have, and that this one has.
        can_be_retried: whether dbt retries a run of it.
        executes: whether it does more than dbt does while it plans.
        writes: whether what it selects may be written.
    """

    words: str
    fields: frozenset[str] = frozenset()
    can_be_retried: bool = True
    executes: bool = True
    writes: bool = False

    @property
    def which(self) -> str:
        """What dbt's artifacts call it."""
        return self.words.rpartition(" ")[2]


_KEPT_OPEN = frozenset({"on_failure"})

COMMANDS: dict[str, CommandFacts] = {
    "run": CommandFacts("run", _KEPT_OPEN, writes=True),
    "build": CommandFacts("build", _KEPT_OPEN, writes=True),
    "test": CommandFacts("test", _KEPT_OPEN, writes=True),
    "seed": CommandFacts("seed", _KEPT_OPEN, writes=True),
    "snapshot": CommandFacts("snapshot", _KEPT_OPEN, writes=True),
    "clone": CommandFacts("clone", _KEPT_OPEN, writes=True),
    "compile": CommandFacts("compile", frozenset({"inline", "output"})),
    "show": CommandFacts("show", frozenset({"inline", "limit", "output"}), can_be_retried=False),
    "list": CommandFacts("list", frozenset({"output", "output_keys"}), can_be_retried=False, executes=False),
    "source-freshness": CommandFacts("source freshness", _KEPT_OPEN, can_be_retried=False),
    "docs-generate": CommandFacts("docs generate", frozenset({"compile", "static", "empty_catalog"})),
    "run-operation": CommandFacts("run-operation", frozenset({"macro", "args", "sql"}), writes=True),
    "parse": CommandFacts("parse", can_be_retried=False, executes=False),
    "debug": CommandFacts("debug", frozenset({"connection"}), can_be_retried=False),
    "retry": CommandFacts("retry", _KEPT_OPEN, can_be_retried=False),
}
"""By the names of the run contract. `retry` becomes the command of the run that it retries, while it is planned."""

ABSENT: Mapping[str, str] = {
    "clean": "nothing is written into a project's folder; what workers keep is below DBT_TEMPORAL_CACHE_DIR",
    "init": "a project is begun by dbt's own `init`; `dbt-temporal dev` runs it",
}
"""dbt's commands that there are none of here: why, and where to turn."""

OPERATION_KINDS = frozenset({"operation", "catalog", "debug"})
"""What the resource types are called of nodes that stand for what dbt does outside its queue of nodes."""


def named(which: str) -> str:
    """The contract's name of what dbt's artifacts call a command; unknown ones stay as they are."""
    return next((name for name, facts in COMMANDS.items() if facts.which == which), which)


def misplaced(command: str, fields: Iterable[str]) -> str | None:
    """Why a command does not take one of these fields, naming those that do; None where it takes them all."""
    for field in sorted(fields):
        allowed = commands_with(field)
        if allowed and command not in allowed:
            return f"{field}: the command {command!r} has none; it is for {', '.join(allowed)}"
    return None


def commands_with(field: str) -> list[str]:
    """The commands that have a field of the input; none where all have it."""
    flag = FLAGS.get(field)
    of_flag = flag.commands if flag else frozenset[str]()
    return [name for name, facts in COMMANDS.items() if field in facts.fields or name in of_flag]
