"""What dbt and a project have to say in a run: texts whose messages carry what kind of event each of them was.

A message's first line begins with a mark. So whatever is cut, masked, put together with others, or carried into another
execution on its way through the run's log, each line keeps its own; and a text without marks is one of an engine that
knows no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel

from dbt_temporal.domain.limits import MORE_MESSAGES

Level = Literal["debug", "info", "warn", "error"]

_LEVELS: dict[str, Level] = {level: level for level in get_args(Level)}
_PRINTED = "PrintEvent"

_SIGN = "\x1f"  # ASCII's unit separator: nobody prints it, and `splitlines` goes past it
_MARK = re.compile(
    rf"{_SIGN}(?P<name>\w*) (?P<code>\w*) (?P<level>{'|'.join(_LEVELS)})"
    rf"(?: (?P<lines>\d+) (?P<indent>\d+) (?P<unique_id>[^{_SIGN}]*))?{_SIGN}"
)
_BROKEN_MARK = re.compile(rf"{_SIGN}[^{_SIGN}]*(?:{_SIGN}|\Z)")
"""Cut, or with something masked in it."""

_LEAST_CHARS = 20
"""What a message takes of the room at least: its mark travels with it."""


@dataclass(frozen=True)
class Kind:
    """What an event is, by dbt's words.

    Attributes:
        name: `JinjaLogInfo`, `PrintEvent`, ...
        code: `I062`, ...; empty where dbt has none.
        level: how much it matters.
    """

    name: str
    code: str
    level: Level

    @classmethod
    def of(cls, name: str, code: str, level: str) -> Kind:
        """That of an event whose level may be one of dbt's that nobody shows, such as `test`."""
        return cls(name, code, _LEVELS.get(level, "info"))

    @property
    def stands_out(self) -> bool:
        """Whether it is told where information is left out: warnings, and what macros print."""
        return self.level in ("warn", "error") or self.name == _PRINTED


class SaidEvent(BaseModel):
    """A message in a run's log.

    Attributes:
        line: its first line's place in the log, from 0.
        lines: how many it has.
        indent: by how many characters they are indented there.
        unique_id: of the node or hook that had it said; empty where none had.
    """

    line: int
    lines: int = 1
    indent: int = 0
    name: str
    code: str = ""
    level: Level
    unique_id: str = ""


class SaidLines:
    """Lines of messages as they come, as many as there is room for.

    What stands out has as much room as information has, for itself: it must not be lost among that.

    Args:
        limit_chars: of each of the two.
        whole: whether lines are left whole, though the last one goes beyond the limit.
    """

    def __init__(self, limit_chars: int, *, whole: bool = False) -> None:
        self._room = {True: limit_chars, False: limit_chars}
        self._full: set[bool] = set()
        self._whole = whole
        self._stands_out = False
        self.lines: list[str] = []

    def add(self, line: str, most_chars: int | None = None) -> None:
        """Takes a line, with its mark if it begins a message; one of more than `most_chars` has no room."""
        kind, text = read_line(line)
        if kind is not None:
            self._stands_out = kind.stands_out
        if self._stands_out in self._full:
            return
        room = self._room[self._stands_out]
        fits = room > 0 if self._whole else len(text) <= room
        if not fits or (most_chars is not None and len(text) > most_chars):
            if not self._whole and room > 0:
                self.lines.append(line[: len(line) - len(text) + room])
                kind = None  # the message has begun
            self._full.add(self._stands_out)
            self.lines.append(MORE_MESSAGES if kind is None else marked(MORE_MESSAGES, kind))
            return
        self.lines.append(line)
        self._room[self._stands_out] -= max(len(text) + 1, _LEAST_CHARS if kind is not None else 0)


def marked(text: str, kind: Kind) -> str:
    """A message with its mark; nothing that the text holds is taken for one."""
    return f"{_SIGN}{kind.name} {kind.code} {kind.level}{_SIGN}{unmarked(text)}"


def unmarked(text: str) -> str:
    """A text of somebody else's, of which nothing is taken for a mark."""
    return text.replace(_SIGN, "")


def read_line(line: str) -> tuple[Kind | None, str]:
    """Of which kind the message is that begins with this line, and the line without its mark.

    None where it begins none: it goes on with the one above it, or the engine has not said.
    """
    if not line.startswith(_SIGN):
        return None, line
    found = _MARK.match(line)
    if found is None:
        return None, _BROKEN_MARK.sub("", line, count=1)
    return Kind.of(found["name"], found["code"], found["level"]), line[found.end() :]


def plain(text: str) -> str:
    """A text without marks."""
    return text if _SIGN not in text else "\n".join(read_line(line)[1] for line in text.split("\n"))


def noted(messages: str, unique_id: str, indent: str) -> list[str]:
    """Messages as lines of a log, in which the mark of a message also says how many lines it has, and whose it is."""
    noted: list[str] = []
    groups: list[tuple[Kind | None, list[str]]] = []
    for line in messages.splitlines():
        kind, text = read_line(line)
        if kind is not None or not groups:
            groups.append((kind, []))
        groups[-1][1].append(f"{indent}{text}")
    for kind, lines in groups:
        if kind is not None:
            mark = f"{kind.name} {kind.code} {kind.level} {len(lines)} {len(indent)} {unique_id}"
            lines[0] = f"{_SIGN}{mark}{_SIGN}{lines[0]}"
        noted += lines
    return noted


def said_in(lines: Sequence[str], first: int) -> Iterable[SaidEvent]:
    """The messages that begin in lines of a log, of which the first one has this place there."""
    for place, line in enumerate(lines, first):
        found = _MARK.match(line) if line.startswith(_SIGN) else None
        if found is not None and found["lines"] is not None:
            facts = {name: found[name] for name in ("name", "code", "level", "lines", "indent", "unique_id")}
            yield SaidEvent.model_validate({"line": place, **facts})
