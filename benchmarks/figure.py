"""What a figure is: sizes that it is measured with, what is measured, and the rows of the table that come of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

MB = 1024 * 1024

Sizes = TypeVar("Sizes")
Measured = TypeVar("Measured")

Table = tuple[str, list[list[str]]]
"""A title and the cells, the header first."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        figure: what it is about.
        measured: what was measured, with units, for people.
        ratio: of two things of one run of the benchmark, as a rule ours to the dbt CLI's; None where there is none.
        goal: what is to be reached: the ratio is to be at most this, or at least where `at_least` says so.
        value: what the goal is about where that is not the ratio.
        unit: of that value and its goal.
    """

    figure: str
    measured: str
    ratio: float | None = None
    goal: float | None = None
    at_least: bool = False
    value: float | None = None
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is; None where there is none, or no value."""
        reached = self.value if self.unit else self.ratio
        if self.goal is None or reached is None:
            return None
        return reached >= self.goal if self.at_least else reached <= self.goal


@dataclass(frozen=True)
class Figure(Generic[Sizes, Measured]):
    """One figure, or several that come of the same runs.

    Attributes:
        name: on the command line, and of the file of its results.
        about: one sentence.
        sizes: the defaults; a dataclass whose fields are the options, each with its `help` in the metadata.
        small: sizes by which it can be tried within seconds. Its values say nothing.
        measure: does it, in a folder that is gone afterwards.
        measured: a dataclass, what `measure` returns.
        rows: of the table.
        details: further tables, for whoever measures this figure alone.
    """

    name: str
    about: str
    sizes: Sizes
    small: Sizes
    measure: Callable[[Sizes, Path], Coroutine[Any, Any, Measured]]
    measured: type[Measured]
    rows: Callable[[Sizes, Measured], Sequence[Row]]
    details: Callable[[Sizes, Measured], Iterable[Table]] = lambda _sizes, _measured: ()


AnyFigure = Figure[Any, Any]


def ratio(part: float | None, whole: float | None) -> float | None:
    """One to the other, None where either is not there."""
    return None if part is None or not whole else part / whole


def shown(value: float | None, scale: float = 1.0, decimals: int = 0) -> str:
    """A value in the unit of its column; a dash where there is none."""
    return "-" if value is None else f"{value * scale:,.{decimals}f}"
