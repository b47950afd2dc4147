"""What is told of a failed node beside its result: where to look next."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pydantic import BaseModel, Field

MAX_TOLD = 10
"""So many failed nodes of a run are told of."""
AROUND = 2
"""Lines before and after the one that the database names."""
MAX_QUERY_LINES = 5
MAX_LINE_CHARS = 200

_NAMED_LINE = re.compile(r"^\s*LINE \d+:(.*)$", re.MULTILINE)
_CUT = "..."


class CodeLine(BaseModel):
    """A line of compiled code; numbers begin with 1."""

    number: int
    text: str
    is_named: bool = False
    """Whether it is the one that the database names."""


class FailedNode(BaseModel):
    """One node.

    Attributes:
        unique_id: the node's.
        name: what the commands `logs` and `show` find it by.
        path: of its file, within the project.
        code_path: where its compiled SQL lies; None where there is none.
        lines: of the compiled SQL, around the line that the database names; none where it names none.
        found_rows: whether it is a test that has found rows, by its compiled SQL.
        query: that SQL; None where it is long.
        stored_failures: the relation with the failing rows of a test that stores them.
    """

    unique_id: str
    name: str
    path: str | None = None
    code_path: str | None = None
    lines: list[CodeLine] = Field(default_factory=list)
    found_rows: bool = False
    query: str | None = None
    stored_failures: str | None = None


def name_to_find(unique_id: str, name: str, all_names: Collection[str]) -> str:
    """A node's name where no other node has it, else its unique_id; `all_names` are those of all nodes."""
    return name if sum(each == name for each in all_names) == 1 else unique_id


def lines_around(code: str, message: str | None) -> list[CodeLine]:
    """The line of compiled code that the database names in its message, and those around it.

    The number that a database gives counts what dbt puts around the code, too. So the line is found by its text, which
    PostgreSQL and DuckDB repeat (`LINE 14: ...`, cut by dots where it is long); none where it is not there, or more
    than once.
    """
    named = _NAMED_LINE.search(message or "")
    text = named[1].strip().removeprefix(_CUT).removesuffix(_CUT).strip() if named else ""
    lines = code.splitlines()
    found = [index for index, line in enumerate(lines) if text and text in line]
    exact = [index for index in found if lines[index].strip() == text]
    at = exact if len(exact) == 1 else found
    if len(at) != 1:
        return []
    shown = range(max(at[0] - AROUND, 0), min(at[0] + AROUND + 1, len(lines)))
    return [CodeLine(number=i + 1, text=_fitting(lines[i]), is_named=i == at[0]) for i in shown if lines[i].strip()]


def short_query(code: str) -> str | None:
    """A test's compiled code without empty lines, where that is short enough to be shown; else None."""
    lines = [line.rstrip() for line in code.splitlines() if line.strip()]
    if len(lines) > MAX_QUERY_LINES or any(len(line) > MAX_LINE_CHARS for line in lines):
        return None
    return "\n".join(_without_margin(lines))


def _without_margin(lines: Sequence[str]) -> list[str]:
    margin = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    return [line[margin:] for line in lines]


def _fitting(line: str) -> str:
    return line if len(line) <= MAX_LINE_CHARS else f"{line[: MAX_LINE_CHARS - 1]}…"
