"""Texts of others as Markdown that shows them as they are: names, messages of databases, selections with `*`."""

from __future__ import annotations

import re

_MARKS = re.compile(r"[\\`*\[\]<>~]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Characters that mean something within a line. `_` means nothing between letters, where most names have it."""
_LINE_MARKS = re.compile(r"(?m)^(\s*)([#+=-]|\d+[.)])(?=\s|$)")


def plain(text: str) -> str:
    """The text on one line, which means nothing as Markdown."""
    line = " ".join(text.split())
    return _LINE_MARKS.sub(_escaped_begin, _MARKS.sub(r"\\\g<0>", line))


def code(text: str) -> str:
    """The text on one line, as code."""
    line = " ".join(text.split())
    fence = "`" * (max((len(run) for run in re.findall(r"`+", line)), default=0) + 1)
    # A space on both sides is no part of the code, and keeps its own backticks off the fence.
    pad = " " if not line or "`" in (line[0], line[-1]) else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _escaped_begin(found: re.Match[str]) -> str:
    space, mark = found.group(1), found.group(2)
    return f"{space}{mark[:-1]}\\{mark[-1]}"
