"""What Ctrl-C and SIGTERM do to `dbt-temporal dev`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stop:
    """The first signal ends everything in good order, the second one kills the children.

    Attributes:
        task: what is cancelled by the first signal.
        forward: where signals go instead while a command runs: it cancels its run and ends, and we go on from there.
        kill: what ends the children at once.
        ending: whether the first signal has come.
        interrupted: whether any signal has come.
        exit_code: that of the program when a signal has ended it.
    """

    task: asyncio.Task[object]
    forward: Callable[[int], None] | None = None
    kill: list[Callable[[], None]] = field(default_factory=list)
    ending: bool = False
    interrupted: bool = False
    exit_code: int = 0

    def signal(self, number: int) -> None:
        self.interrupted = True
        if self.forward is not None:
            self.forward(number)
        elif not self.ending:
            self.ending = True
            self.task.cancel()
        else:
            for kill in self.kill:
                kill()


@contextmanager
def stop_by_signal() -> Iterator[Stop]:
    """Hands signals to a Stop while the block runs, in the task that runs the block."""
    task = asyncio.current_task()
    assert task is not None
    stop = Stop(task)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.signal, number)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
