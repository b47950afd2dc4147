"""What another way to run a project is, for whoever measures it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sides.projects import Project

RunOnce = Callable[[], Awaitable[float]]
"""Runs all models of the project, and says how long that took, in seconds."""


@dataclass(frozen=True)
class Way:
    """A way to run a project.

    Attributes:
        name: as in the table.
        requirements: what its environment needs, for pip; none where it runs in ours.
        opened: is given the project, the folder of the environment's programs, a folder of its own and the number of
            threads; what it needs is up while the context lasts.
    """

    name: str
    requirements: Sequence[str]
    opened: Callable[[Project, Path, Path, int], AbstractAsyncContextManager[RunOnce]]
