"""Whether the worker can be given work: its projects are loaded, and the Temporal server hears it poll."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

LOOK_SECS = 10.0
UNREADY_LOOK_SECS = 1.0
FIRST_LOOK_SECS = 0.1
"""Until a worker has been ready once: pods wait for it, and the server has heard it a moment after it first asks."""
FIRST_LOOKS = 20
LOOK_LIMIT_SECS = 5.0


class Readiness:
    """The last answer, for probes. A worker begins as not ready."""

    def __init__(self) -> None:
        self._ready = False
        self._why = "projects are being loaded"

    @property
    def answer(self) -> tuple[bool, str]:
        return self._ready, f"{'ready' if self._ready else 'not ready'}: {self._why}"

    def say(self, ready: bool, why: str) -> None:
        self._ready, self._why = ready, why

    async def watch(self, polls: Callable[[], Awaitable[bool]], every_secs: float = LOOK_SECS) -> None:
        """Keeps the answer up to date until it is cancelled, and logs when it changes: not everybody has probes.

        `polls` asks whether the server hears the worker poll; what it raises means that nobody knows.
        """
        looks = 0
        while True:
            was_ready = self._ready
            looks += 1
            try:
                async with asyncio.timeout(LOOK_LIMIT_SECS):
                    heard = await polls()
            except TimeoutError:
                self.say(False, f"Temporal has not answered within {LOOK_LIMIT_SECS:g} seconds")
            except Exception as error:
                self.say(False, f"Temporal cannot be asked ({type(error).__name__}: {error})")
            else:
                self.say(heard, "the worker polls" if heard else "the server has not heard the worker poll")
            if self._ready is not was_ready:
                logger.log(logging.INFO if self._ready else logging.WARNING, "%s", self.answer[1])
            unready_secs = FIRST_LOOK_SECS if looks <= FIRST_LOOKS else UNREADY_LOOK_SECS
            await asyncio.sleep(every_secs if self._ready else min(every_secs, unready_secs))
