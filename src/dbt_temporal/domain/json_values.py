"""Which values arrive as they are, where they are sent as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import date

MAX_DEPTH = 160
"""How deep a value may be nested. Decoders end at 200 or so, and what carries a value has some levels of its own."""
MAX_PLACE_CHARS = 200


def not_json(value: object, place: str, *, yaml: bool = False) -> str | None:
    """Why a value would not arrive as it is, with the field to blame; None where it is made of what JSON has.

    With `yaml`, it may have YAML's dates and keys, too, which become texts.
    """
    found = _flaw(value, yaml, MAX_DEPTH)
    if found is None:
        return None
    problem, steps = found
    return f"{_place(place, steps)}: {problem}"


def _flaw(value: object, yaml: bool, depth: int) -> tuple[str, list[str]] | None:
    """What is wrong with a value, and the steps to it, the last one first; None where nothing is.

    Places are put together for what is wrong alone: a run reads its input many times, in a workflow that must not
    take long over one step.
    """
    if value is None or isinstance(value, int):
        return None
    if isinstance(value, str):
        return None if _is_unicode(value) else ("a text with half a character (a lone surrogate) cannot be sent", [])
    if isinstance(value, float):
        return None if math.isfinite(value) else (f"{value} cannot be sent; JSON has no such number", [])
    if isinstance(value, list | tuple):
        return _flaw_within(enumerate(value), yaml, depth, "[{}]".format)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) and not yaml:
                return f"key {key!r} is not text; write it in quotes: {str(key)!r}", []
            found = _flaw(key, yaml, depth)
            if found is not None:
                return found
        return _flaw_within(value.items(), yaml, depth, ".{}".format)
    if not isinstance(value, date):
        return f"a value of type {type(value).__name__} cannot be sent; allowed is what JSON can hold", []
    return None if yaml else (f"a date cannot be sent; write it as text, in quotes: {str(value)!r}", [])


def _flaw_within(
    members: Iterable[tuple[object, object]], yaml: bool, depth: int, step: Callable[[object], str]
) -> tuple[str, list[str]] | None:
    if not depth:
        return f"is nested too deep; allowed are {MAX_DEPTH} levels", []
    for key, member in members:
        found = _flaw(member, yaml, depth - 1)
        if found is not None:
            found[1].append(step(key))
            return found
    return None


def _place(place: str, steps: list[str]) -> str:
    for step in reversed(steps):
        place = cut(place + step, MAX_PLACE_CHARS)
    return cut(place, MAX_PLACE_CHARS)


def fits_environment(value: object, *, name: bool = False) -> bool:
    """Whether an environment takes it as a value, or as a name."""
    if not isinstance(value, str) or "\0" in value or not _is_unicode(value):
        return False
    return not name or (value != "" and "=" not in value)


def cut(text: str, limit: int) -> str:
    """A text that can be sent and read: of at most so many characters, or a few more, and all of them whole."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= limit else f"{text[:limit]}..."


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
