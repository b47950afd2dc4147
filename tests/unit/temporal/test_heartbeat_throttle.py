"""How long heartbeats are held back, and for what the server is troubled with one."""

from __future__ import annotations

import pytest

from dbt_temporal.adapters.temporal.worker.heartbeat import Facts
from dbt_temporal.entrypoints.settings import read_settings


@pytest.mark.parametrize(("said", "seconds"), [(None, 2.0), ("1", 1.0), ("60", 2.0)])
def test_no_heartbeat_is_held_back_for_longer_than_news_or_the_worker_s_own_pace(
    said: str | None, seconds: float
) -> None:
    environ = {} if said is None else {"WORKER_HEARTBEAT_SECS": said}
    assert read_settings(environ).tuning.heartbeat_throttle.total_seconds() == seconds


def test_facts_that_can_wait_for_the_next_heartbeat_are_no_news() -> None:
    facts = Facts()
    facts.tell({"host_pid": 1})
    assert facts.news.is_set()
    facts.news.clear()
    facts.tell({"host_pid": 1, "phase": "executing", "session": 7})
    assert not facts.news.is_set()
    facts.tell({"host_pid": 2, "phase": "preparing"})
    assert facts.news.is_set()
    assert facts.all == {"phase": "preparing", "session": 7, "host_pid": 2}
