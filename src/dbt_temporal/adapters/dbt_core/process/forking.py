"""Processes that fork others on request and die with whoever started them."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.parent_death import die_with_parent
from dbt_temporal.domain.errors import ErrorType

WIND_UP_SECS = 8.0
"""What a host that has lost its worker has for ending its statements in the database."""
CHILDREN_SECS = 10.0
"""What a process that has lost its worker gives those that it forked: each of them has lost the worker, too."""

Operation = Callable[[wire.Message], Any]
ChildMain = Callable[[socket.socket], None]


class ForkServer:
    """A single-threaded process that answers requests over its control socket, some of them by forking.

    When its peer goes, it gives what it has forked a while to end in good order, then kills the rest.

    The child of a fork gets the socket that came with the request, and prints where the request says. Its exit status
    is reported as an event `{"event": "exited", "pid", "status"}` (status as of `waitpid`: negative is a signal).
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self.idle_work: Iterator[None] = iter(())
        """Small pieces of work for the time between requests; a fork inherits what is done by then."""
        self.idle_from = 0.0
        """When idle work begins, by the monotonic clock."""
        self._children: set[int] = set()
        self._wake_reader, self._wake_writer = os.pipe()
        for fd in (self._wake_reader, self._wake_writer):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)

    def serve(
        self,
        operations: Mapping[str, Operation],
        forks: Mapping[str, ChildMain],
        takeovers: Mapping[str, ChildMain] | None = None,
    ) -> None:
        """Answers requests until the peer goes.

        Args:
            operations: by name, what answers a request in this process.
            forks: by name, what the child does with its socket; the answer is the child's pid.
            takeovers: by name, what this process itself does with the socket, after which it ends.
        """
        while True:
            ready = self._next_ready()
            if self._wake_reader in ready:
                self._report_exits()
            if self._control in ready:
                message, fds = wire.receive(self._control)
                if message is None:
                    self._await_children()
                    return
                if takeovers and message["op"] in takeovers:
                    wire.answer(self._control, {"id": message["id"], "ok": {"pid": os.getpid()}})
                    self._reset_signals()
                    takeovers[message["op"]](_take_over(fds))
                    return
                self._answer(message, fds, operations, forks)

    def ask(self, event: wire.Message) -> wire.Message:
        """Sends an event amid an operation, and waits for the request that answers it.

        Raises:
            EOFError: the peer has gone.
        """
        wire.answer(self._control, event)
        message, _ = wire.receive(self._control)
        if message is None:
            raise EOFError("the worker has gone")
        wire.answer(self._control, {"id": message["id"], "ok": None})
        return message

    def _next_ready(self) -> list[Any]:
        """Waits for a request or for the end of a child, and does idle work meanwhile."""
        sources = [self._control, self._wake_reader]
        ready, _, _ = select.select(sources, [], [], max(0.0, self.idle_from - time.monotonic()))
        if ready:
            return ready
        for _ in self.idle_work:
            ready, _, _ = select.select(sources, [], [], 0)
            if ready:
                return ready
        ready, _, _ = select.select(sources, [], [])
        return ready

    def _answer(
        self,
        message: wire.Message,
        fds: list[int],
        operations: Mapping[str, Operation],
        forks: Mapping[str, ChildMain],
    ) -> None:
        answer: wire.Message = {"id": message["id"]}
        try:
            if message["op"] in forks:
                answer["ok"] = {"pid": self._fork(fds, forks[message["op"]])}
            else:
                answer["ok"] = operations[message["op"]](message)
        except Exception as error:
            answer["error"] = error_to_wire(error)
        finally:
            for fd in fds:
                os.close(fd)
        wire.answer(self._control, answer)

    def _fork(self, fds: list[int], main: ChildMain) -> int:
        own_pid = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._run_child(fds, main, own_pid)
        self._children.add(pid)
        return pid

    def _await_children(self) -> None:
        deadline = time.monotonic() + CHILDREN_SECS
        while self._children and time.monotonic() < deadline:
            self._take_exits()
            select.select([self._wake_reader], [], [], 0.1)
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _run_child(self, fds: list[int], main: ChildMain, parent_pid: int) -> NoReturn:
        status = 1
        try:
            die_with_parent(signal.SIGKILL)
            if os.getppid() != parent_pid:  # it died before that
                os._exit(1)
            self._reset_signals()
            self._control.close()
            main(_take_over(fds))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reset_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _report_exits(self) -> None:
        for pid, status in self._take_exits():
            status = os.waitstatus_to_exitcode(status)
            wire.answer(self._control, {"event": "exited", "pid": pid, "status": status})

    def _take_exits(self) -> list[tuple[int, int]]:
        """Which children have ended since the last call, and with which wait status."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_reader, 512):
                pass
        ended: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            self._children.discard(pid)
            ended.append((pid, status))


def _take_over(fds: list[int]) -> socket.socket:
    """The socket that came with a request; where a descriptor came after it, that becomes this process's output."""
    own, *printed = fds
    for fd in printed:
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
    return socket.socket(fileno=own)


def error_to_wire(error: BaseException) -> wire.Message:
    """An error as the worker reads it; foreign exceptions are classified where dbt is known."""
    from dbt_temporal.adapters.dbt_core.process.database.classification import as_temporal_error

    known = as_temporal_error(error)
    if known.error_type is ErrorType.ADAPTER:  # may be a mistake of ours; dbt's own messages need no traceback
        traceback.print_exception(error)
    return {
        "type": known.error_type.value,
        "message": known.message,
        "retryable": known.retryable,
        "unreachable": known.unreachable,
    }


def prepare_process() -> None:
    """What every engine process does first: signals, and a traceback on a crash of native code."""
    faulthandler.enable()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _left_to_the_worker)


def _left_to_the_worker(_number: int, _frame: object) -> None:
    """A signal to all processes (of a terminal, a control group, a container): the worker lets running nodes end.

    Not SIG_IGN, which the programs that a Python model starts would inherit.
    """
