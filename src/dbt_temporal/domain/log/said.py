"""What dbt and a project have to say in a run: texts whose messages carry what kind of event each of them was.

A message's first line begins with a mark. So whatever is cut, masked, or put together with others on its way into the
run's log, each line keeps its own; and a text without marks is one of an engine that knows no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel

Level = Literal["debug", "info", "warn", "error"]

_LEVELS: dict[str, Level] = {level: level for level in get_args(Level)}

_SIGN = "\x1f"  # ASCII's unit separator: nobody prints it, and `splitlines` goes past it
_MARK = re.compile(rf"{_SIGN}(?P<name>\w*) (?P<code>\w*) (?P<level>{'|'.join(_LEVELS)}){_SIGN}")
_BROKEN_MARK = re.compile(rf"{_SIGN}[^{_SIGN}]*(?:{_SIGN}|\Z)")
"""Cut, or with something masked in it."""


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


class SaidEvent(BaseModel):
    """A message in a run's log.

    Attributes:
        line: its first line's place in the log, from 0.
        lines: how many it has.
        unique_id: of the node or hook that had it said; empty where none had.
    """

    line: int
    lines: int = 1
    name: str
    code: str = ""
    level: Level
    unique_id: str = ""


def marked(text: str, kind: Kind) -> str:
    """A message with its mark; nothing that the text holds is taken for one."""
    return f"{_SIGN}{kind.name} {kind.code} {kind.level}{_SIGN}{text.replace(_SIGN, '')}"


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
