"""Texts that hold dates: `{{ data_interval_start | add_days(-1) | date }}`. A closed set of names and filters.

Of what stands between braces, a name alone and a name with filters are ours, and one that is not known is refused.
Whatever else looks like Jinja (a call, an attribute, an expression) is the project's own, and is left as it is. So what
is filled holds nothing that could be filled again.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

NAMES = ("scheduled_time", "data_interval_start", "data_interval_end")
MAX_SHOWN_CHARS = 100

_BRACES = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME_WITH_FILTERS = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\|(.*))?", re.DOTALL)
_FILTER = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(\s*(.*?)\s*\))?\s*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d{1,7}")
_ZONE = re.compile(r"(['\"]?)([A-Za-z0-9_+/-]+)\1")


class TemplateError(ValueError):
    """Why something between braces cannot be filled: what is wrong, and what is allowed.

    Attributes:
        shown: what stands there; not part of the message, since it may be of a secret.
    """

    def __init__(self, message: str, shown: str) -> None:
        super().__init__(message)
        self.shown = shown[:MAX_SHOWN_CHARS]


def _add_hours(time: datetime, hours: float) -> datetime:
    # By the clock of the world, not by that on the wall, which jumps.
    return (time.astimezone(UTC) + timedelta(hours=hours)).astimezone(time.tzinfo)


def _add_months(time: datetime, months: int) -> datetime:
    year, month = divmod(time.year * 12 + time.month - 1 + months, 12)
    return time.replace(year=year, month=month + 1, day=min(time.day, monthrange(year, month + 1)[1]))


_PLAIN: Mapping[str, Callable[[datetime], datetime]] = {
    "start_of_hour": lambda time: time.replace(minute=0, second=0, microsecond=0),
    "start_of_day": lambda time: time.replace(hour=0, minute=0, second=0, microsecond=0),
    "start_of_month": lambda time: time.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
}
_WITH_NUMBER: Mapping[str, Callable[[datetime, int], datetime]] = {
    "add_minutes": lambda time, number: _add_hours(time, number / 60),
    "add_hours": _add_hours,
    "add_days": lambda time, number: time + timedelta(days=number),
    "add_months": _add_months,
}
_TO_TEXT: Mapping[str, Callable[[datetime], str]] = {
    "ts": lambda time: time.isoformat(),
    "date": lambda time: f"{time:%Y-%m-%d}",
    "date_nodash": lambda time: f"{time:%Y%m%d}",
}
FILTERS = (*_TO_TEXT, *(f"{name}(n)" for name in _WITH_NUMBER), *_PLAIN, "zone(Europe/Berlin)")
"""All there are, as they are written."""
_FILTER_NAMES = (*_TO_TEXT, *_WITH_NUMBER, *_PLAIN, "zone")
_SOME_TIME = datetime(2026, 1, 31, tzinfo=UTC)


def has_placeholder(text: str) -> bool:
    """Whether a text holds a date that is to be filled, or what looks like one."""
    return any(_is_ours(match[1]) for match in _BRACES.finditer(text))


def names_in(text: str) -> Iterator[str]:
    """The names of the dates that a text holds.

    Raises:
        TemplateError: it holds something that is to be filled, and cannot.
    """
    for match in _BRACES.finditer(text):
        if _is_ours(match[1]):
            name, filters = _read(match[1])
            _filled(_SOME_TIME, filters, match[0])
            yield name


def fill(text: str, dates: Mapping[str, datetime]) -> str:
    """The text with the dates in place of their names.

    Args:
        text: as it was given; `names_in` takes it.
        dates: by name, with time zone.

    Raises:
        TemplateError: as `names_in`; also where a date is not among those given, or leaves the years 1 to 9999.
    """

    def filled(match: re.Match[str]) -> str:
        if not _is_ours(match[1]):
            return match[0]
        name, filters = _read(match[1])
        if name not in dates:
            raise TemplateError(f"nothing says what {name} is", match[0])
        return _filled(dates[name], filters, match[0])

    return _BRACES.sub(filled, text)


def _is_ours(content: str) -> bool:
    first = re.match(r"\s*([A-Za-z_]\w*)", content)
    return _NAME_WITH_FILTERS.fullmatch(content) is not None or (first is not None and first[1] in NAMES)


def _read(content: str) -> tuple[str, list[str]]:
    """The name, and the filters as they are written."""
    shown = f"{{{{{content}}}}}"
    match = _NAME_WITH_FILTERS.fullmatch(content)
    if match is None:
        raise TemplateError(f"a date is written with filters alone, after |: {', '.join(FILTERS)}", shown)
    name, filters = match[1], match[2]
    if name not in NAMES:
        raise TemplateError(f"there is no such date{_near(name, NAMES)}: {', '.join(NAMES)}", shown)
    return name, [] if filters is None else filters.split("|")


def _filled(time: datetime, filters: list[str], shown: str) -> str:
    value: datetime | str = time
    for written in filters:
        match = _FILTER.fullmatch(written)
        name, argument = (match[1], match[2]) if match else (written.strip(), None)
        if name not in _FILTER_NAMES:
            message = f"there is no such filter as {name[:MAX_SHOWN_CHARS]!r}{_near(name, _FILTER_NAMES)}: "
            raise TemplateError(message + ", ".join(FILTERS), shown)
        if isinstance(value, str):
            raise TemplateError(f"{name} comes after a filter that makes text; {', '.join(_TO_TEXT)} come last", shown)
        value = _applied(value, name, argument, shown)
    return value if isinstance(value, str) else value.isoformat()


def _applied(time: datetime, name: str, argument: str | None, shown: str) -> datetime | str:
    try:
        if name == "zone":
            return time.astimezone(ZoneInfo(_zone_name(argument, shown)))
        if name in _WITH_NUMBER:
            if argument is None or not _NUMBER.fullmatch(argument):
                raise TemplateError(f"{name} takes a whole number: {name}(-1)", shown)
            return _WITH_NUMBER[name](time, int(argument))
        if argument is not None:
            raise TemplateError(f"{name} takes nothing in parentheses", shown)
        one: Any = _PLAIN.get(name) or _TO_TEXT[name]
        result: datetime | str = one(time)
        return result
    except OverflowError as error:
        raise TemplateError(f"{name} leaves the years 1 to 9999", shown) from error
    except TemplateError:
        raise
    except (KeyError, ValueError, OSError) as error:
        # Of a zone: ZoneInfoNotFoundError is a KeyError, and a name that is none of a file is a ValueError or OSError.
        what = "there is no such time zone" if name == "zone" else f"{name} leaves the years 1 to 9999"
        raise TemplateError(what, shown) from error


def _zone_name(argument: str | None, shown: str) -> str:
    match = _ZONE.fullmatch(argument or "")  # in quotes or without: shells have enough of them
    if match is None:
        raise TemplateError("zone takes the name of a time zone: zone(Europe/Berlin)", shown)
    return match[2]


def _near(name: str, names: tuple[str, ...]) -> str:
    found = get_close_matches(name, names, 1)
    return f" (did you mean {found[0]}?)" if found else ""
