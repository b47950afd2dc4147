"""Gathers changes of a run's state, so that history holds few of them. Workflow code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from dbt_temporal.adapters.temporal.workflow.memo import RunMemos
from dbt_temporal.application.ports.runtime import RunView, StateChange

MIN_PAUSE_SECS = 1.0
MAX_PAUSE_SECS = 60.0
PAUSE_SHARE = 0.02
"""The pause between two memos grows with the age of the run to this share of it: a memo of 32 KiB each second would
fill the history of a long run (50 MiB), while nobody reads an hour-old run by the second. Queries are always exact."""


class StatePublisher:
    """Shows the state of a run by memo, search attributes and current details, at most once in a while.

    Args:
        took_action: hears of what is billed.
    """

    def __init__(self, took_action: Callable[[str], None]) -> None:
        self._took_action = took_action
        self._memos = RunMemos()
        self._view: RunView | None = None
        self._attributes: dict[str, str] = {}
        self._not_before: datetime | None = None
        self._flusher: asyncio.Task[None] | None = None

    def add(self, changed: StateChange) -> None:
        """Takes a change; a later one of the same field replaces it."""
        self._view = changed.view
        if changed.search_attributes:
            self._attributes.update(changed.search_attributes)
        if changed.details is not None:
            # Current details are served by the worker on demand and cost no history.
            workflow.set_current_details(changed.details)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_soon())

    def flush(self) -> None:
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        self._write()

    async def _flush_soon(self) -> None:
        now = workflow.now()
        if self._not_before is not None and now < self._not_before:
            self._took_action("timer")
            await workflow.sleep(self._not_before - now, summary="gather changes of the memo")
        else:
            # Everything that this workflow task changes goes together.
            await asyncio.sleep(0)
        self._flusher = None
        self._write()

    def _write(self) -> None:
        if self._view is not None:
            workflow.upsert_memo(self._memos.of(self._view))
        if self._attributes:
            attributes = sorted(self._attributes.items())
            keys = [SearchAttributeKey.for_keyword(name).value_set(value) for name, value in attributes]
            workflow.upsert_search_attributes(keys)
            self._took_action("search_attributes")
        self._view, self._attributes = None, {}
        age = (workflow.now() - workflow.info().start_time).total_seconds()
        pause = min(MAX_PAUSE_SECS, max(MIN_PAUSE_SECS, age * PAUSE_SHARE))
        self._not_before = workflow.now() + timedelta(seconds=pause)
