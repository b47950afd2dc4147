"""Calls of blocking libraries to services elsewhere, which may never come back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TypeAlias, TypeVar

Answer = TypeVar("Answer")
_Jobs: TypeAlias = "SimpleQueue[Callable[[], None]]"

REST_SECS = 10.0
"""How long a thread waits for a further call: while nodes end one after another, none is started for them."""


class NoAnswerError(TimeoutError):
    """A call has not come back in time."""


class OutsideCalls:
    """Makes calls on threads of their own. One that hangs keeps one of the places and nothing else: neither other work
    (`asyncio.to_thread` has one small pool for all of it) nor the end of the process.

    Args:
        name: of the threads.
        places: how many calls may be under way at once; further ones wait.
    """

    def __init__(self, name: str, places: int) -> None:
        self._name = name
        self._places = asyncio.Semaphore(places)
        self._resting: list[_Jobs] = []
        """Of each thread that has nothing to do, where it takes its next call from."""

    async def __call__(self, call: Callable[[], Answer], limit_secs: float) -> Answer:
        """What `call` returns.

        Raises:
            NoAnswerError: it has not come back within `limit_secs`, the wait for a place included.
            Exception: what it raises.
        """
        limit = asyncio.timeout(limit_secs)
        try:
            async with limit:
                await self._places.acquire()
                return await self._on_a_thread(call)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise NoAnswerError(f"there was no answer within {max(limit_secs, 0.0):.3g} seconds") from error

    def _on_a_thread(self, call: Callable[[], Answer]) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        context = copy_context()

        def tell(settle: Callable[[], None]) -> None:
            self._places.release()
            if not answer.done():  # whoever waited may have gone
                settle()

        def run() -> None:
            try:
                value = context.run(call)
            except BaseException as error:
                failure = error
                settle = lambda: answer.set_exception(failure)  # noqa: E731
            else:
                settle = lambda: answer.set_result(value)  # noqa: E731
            self._resting.append(jobs)  # before anybody hears of the answer, and may make the next call
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, settle)

        try:
            jobs = self._resting.pop()
        except IndexError:
            jobs = SimpleQueue()
            threading.Thread(target=self._work, args=(jobs,), name=self._name, daemon=True).start()
        jobs.put(run)
        return answer

    def _work(self, jobs: _Jobs) -> None:
        while True:
            try:
                jobs.get(timeout=REST_SECS)()
            except Empty:
                with contextlib.suppress(ValueError):  # a call has just come
                    self._resting.remove(jobs)
                    return
