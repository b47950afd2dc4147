"""What an attempt at a node is at, told as its process tells it."""

from __future__ import annotations

import logging
from typing import Any

from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.application.attempt_facts import (
    COMPILING,
    EXECUTING,
    PHASE,
    PREPARING,
    SESSION,
    WAITING_FOR_FILE,
    WAITING_FOR_TURN,
)
from dbt_temporal.application.ports.engine import BEGUN, Progress

logger = logging.getLogger("dbt_temporal.engine")


class Telling:
    """Of one attempt; `tell` hears each fact once."""

    def __init__(self, unique_id: str, tell: Progress) -> None:
        self._unique_id = unique_id
        self._tell = tell
        self._facts: dict[str, Any] = {}
        self._has_begun = False

    def of(self, process: V2Process) -> None:
        """The attempt has this process."""
        node = process.told.nodes.get(self._unique_id)
        if node is not None and node.started_at and not self._has_begun:
            self._has_begun = True
            self._tell({BEGUN: True})
        if not process.told.has_begun:
            phase = PREPARING
        elif node is None or not node.started_at:
            phase = WAITING_FOR_TURN
        else:
            phase = EXECUTING if node.executing_at else COMPILING
        self._note(process, phase)

    def waits(self, process: V2Process | None) -> None:
        """It waits for a process, which may be starting."""
        if process is not None:
            self._note(process, WAITING_FOR_FILE if process.was_locked_out else PREPARING)

    def begins_again(self) -> None:
        """Its process was ended for another node's sake."""
        if self._has_begun:
            logger.info("%s is begun again: its process was ended for another node", self._unique_id)
            self._has_begun = False
            self._tell({BEGUN: False})

    def _note(self, process: V2Process, phase: str) -> None:
        pid = {} if process.pid is None else {"host_pid": process.pid}
        session = {SESSION: process.session} if process.session else {}
        facts = {**pid, **session, PHASE: phase}
        if facts != self._facts:
            self._facts = facts
            self._tell(facts)
