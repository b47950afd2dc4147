"""The activity by which a run's code ends a turn: what follows is computed in another one, as none may take long.

As a local one it costs an event and a few milliseconds. A timer, which such turns ended by in earlier releases, takes a
second: the server looks no more often.
"""

from __future__ import annotations

from temporalio import activity

BREATHE = "breathe"


@activity.defn(name=BREATHE)
async def breathe() -> None:
    """Does nothing."""
