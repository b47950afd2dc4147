"""Gathers changes of a run's state, so that history holds few of them. Workflow code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from dbt_temporal.adapters.temporal.workflow.memo import RunMemos
from dbt_temporal.application.ports.runtime import RunView, StateChange
from dbt_temporal.domain.details.headline import MAX_SUMMARY_BYTES
from dbt_temporal.domain.details.run_details import in_short
from dbt_temporal.domain.limits import fit_name

MIN_PAUSE_SECS = 1.0
MAX_PAUSE_SECS = 60.0
PAUSE_SHARE = 0.02
"""The pause between two memos grows with the age of the run to this share of it: a memo of 32 KiB each second would
fill the history of a long run (50 MiB), while nobody reads an hour-old run by the second. Queries are always exact."""
MIN_SAVED, MAX_SAVED, SAVED_BY_NODES = 3.0, 20.0, 300.0
"""So many memos that a quiet run has not written it may write at once: fewer of a larger plan, whose memos are larger.
"""
FALLBACK_SECS = 15.0
"""After so long, changes are shown that no turn of the run could show: each timer is a row in the UI's timeline, beside
those of nodes."""
GATHERING = "gather changes of the memo"
"""The summary of timers of runs that earlier releases have planned, which have many."""
SO_FAR = "so far: "
"""How the summaries of the few others begin: a row of the timeline that tells where the run stands."""


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
        self._saved = 0.0
        self._saved_at: datetime | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._fallback: asyncio.Task[None] | None = None

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
        for task in (self._flusher, self._fallback):
            if task is not None:
                task.cancel()
        self._flusher = self._fallback = None
        self._write()

    async def _flush_soon(self) -> None:
        now = workflow.now()
        if self._view is not None and self._view.with_turns:
            await asyncio.sleep(0)
            self._flusher = None
            if self._may_write(self._view):
                self._write()
            elif self._fallback is None:
                self._fallback = asyncio.create_task(self._write_later())
            return
        if self._not_before is not None and now < self._not_before:
            self._took_action("timer")
            await workflow.sleep(self._not_before - now, summary=GATHERING)
        else:
            # Everything that this workflow task changes goes together.
            await asyncio.sleep(0)
        self._flusher = None
        self._write()

    async def _write_later(self) -> None:
        self._took_action("timer")
        told = "" if self._view is None else in_short(self._view.state)
        await workflow.sleep(max(FALLBACK_SECS, self._pause_secs()), summary=fit_name(SO_FAR + told, MAX_SUMMARY_BYTES))
        self._fallback = None
        if self._view is not None:
            self._write()

    def _may_write(self, view: RunView) -> bool:
        """Whether the memo may be written with this turn of the run. Where not, a later turn has these changes too."""
        now = workflow.now()
        most = min(MAX_SAVED, max(MIN_SAVED, SAVED_BY_NODES / max(1, len(view.state.statuses))))
        if self._saved_at is None:
            self._saved = most - 1.0
        else:
            self._saved = min(most, self._saved + (now - self._saved_at).total_seconds() / self._pause_secs())
        self._saved_at = now
        # The last one is for turns after which it may be long until the next one.
        needed = 1.0 if view.state.counts["running"] <= 1 else 2.0
        if not self._attributes and self._saved < needed:
            return False
        self._saved = max(0.0, self._saved - 1.0)
        return True

    def _pause_secs(self) -> float:
        age = (workflow.now() - workflow.info().start_time).total_seconds()
        return min(MAX_PAUSE_SECS, max(MIN_PAUSE_SECS, age * PAUSE_SHARE))

    def _write(self) -> None:
        if self._view is not None:
            workflow.upsert_memo(self._memos.of(self._view))
        if self._attributes:
            attributes = sorted(self._attributes.items())
            keys = [SearchAttributeKey.for_keyword(name).value_set(value) for name, value in attributes]
            workflow.upsert_search_attributes(keys)
            self._took_action("search_attributes")
        self._view, self._attributes = None, {}
        self._not_before = workflow.now() + timedelta(seconds=self._pause_secs())
