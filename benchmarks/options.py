"""A figure's sizes as options of the command line."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from typing import Any

_NUMBERS_FROM_ZERO = (0, 0.0)
"""A default of nought means that nought may be given, too."""


def add_sizes(parser: argparse.ArgumentParser, sizes: Any) -> None:
    """An option for each field of the dataclass; what is not given keeps the default."""
    for field in fields(sizes):
        default = getattr(sizes, field.name)
        several = isinstance(default, tuple)
        kind = type(default[0]) if several else type(default)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=field.name,
            type=_checked(kind, or_none=default in _NUMBERS_FROM_ZERO),
            nargs="+" if several else None,
            default=argparse.SUPPRESS,
            choices=field.metadata.get("choices"),
            metavar=None if "choices" in field.metadata else kind.__name__.upper(),
            help=f"{field.metadata['help']} (default: {_shown(default)})",
        )


def sizes_given(options: argparse.Namespace, sizes: Any) -> Any:
    """The sizes, with what was given."""
    given = {field.name: getattr(options, field.name) for field in fields(sizes) if hasattr(options, field.name)}
    return replace(sizes, **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _checked(kind: type, *, or_none: bool) -> Any:
    """Reads a text, or a number above 0."""

    def read(text: str) -> Any:
        value = kind(text)
        if isinstance(value, int | float) and (value < 0 or (value == 0 and not or_none)):
            raise argparse.ArgumentTypeError(f"{text}: give a number above 0{', or 0' if or_none else ''}")
        return value

    read.__name__ = kind.__name__  # argparse's own messages name it
    return read


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
