"""Which values arrive as they are, where they are sent as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date

MAX_DEPTH = 160
"""How deep a value may be nested. Decoders end at 200 or so, and what carries a value has some levels of its own."""
MAX_PLACE_CHARS = 200


def not_json(value: object, place: str, *, yaml: bool = False, depth: int = MAX_DEPTH) -> str | None:
    """Why a value would not arrive as it is, with the field to blame; None where it is made of what JSON has.

    It may be nested `depth` deep. With `yaml`, it may have YAML's dates and keys, too, which become texts.
    """
    place = cut(place, MAX_PLACE_CHARS)
    if isinstance(value, Mapping | list | tuple) and not depth:
        return f"{place}: is nested too deep; allowed are {MAX_DEPTH} levels"
    if isinstance(value, Mapping):
        for key, member in value.items():
            if not isinstance(key, str) and not yaml:
                return f"{place}: key {key!r} is not text; write it in quotes: {str(key)!r}"
            problem = not_json(key, place, yaml=yaml) or not_json(member, f"{place}.{key}", yaml=yaml, depth=depth - 1)
            if problem is not None:
                return problem
    elif isinstance(value, list | tuple):
        members = (not_json(member, f"{place}[{i}]", yaml=yaml, depth=depth - 1) for i, member in enumerate(value))
        return next(filter(None, members), None)
    elif isinstance(value, str) and not _is_unicode(value):
        return f"{place}: a text with half a character (a lone surrogate) cannot be sent"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{place}: {value} cannot be sent; JSON has no such number"
    elif isinstance(value, date) and yaml:
        return None
    elif isinstance(value, date):
        return f"{place}: a date cannot be sent; write it as text, in quotes: {str(value)!r}"
    elif value is not None and not isinstance(value, str | int | float):
        return f"{place}: a value of type {type(value).__name__} cannot be sent; allowed is what JSON can hold"
    return None


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
