"""What a worker has begun before its own modules are there: the process that imports dbt, for longer than these take.

Imports little itself, as it is in the way of all that comes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType

from dbt_temporal.adapters.dbt_core.template import Template
from dbt_temporal.domain.secrets.own_variables import without_own_secrets


@dataclass(frozen=True)
class HeadStart:
    """A process that imports dbt, and the event loop that it belongs to, as which the worker goes on.

    As a context it ends both.
    """

    runner: asyncio.Runner
    template: Template | None

    @classmethod
    def begin(cls) -> HeadStart:
        """Starts the process, where dbt-core is installed. Does not wait for it, nor fail for it: its user does."""
        runner = asyncio.Runner()
        if not _has_dbt_core():
            return cls(runner, None)
        template = Template(sys.executable, without_own_secrets(os.environ))
        try:
            runner.run(template.begin())
        except OSError:
            return cls(runner, None)
        return cls(runner, template)

    def __enter__(self) -> HeadStart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.template is not None:
            self.runner.run(self.template.close())
        self.runner.close()


def _has_dbt_core() -> bool:
    try:
        return find_spec("dbt.cli") is not None
    except ModuleNotFoundError:
        return False  # there is no package `dbt`, or another one


_begun: list[HeadStart] = []


def begin() -> None:
    """Begins one for the worker that this process is about to be."""
    _begun.append(HeadStart.begin())


def taken() -> HeadStart:
    """That one, or else one that begins now."""
    return _begun.pop() if _begun else HeadStart.begin()
