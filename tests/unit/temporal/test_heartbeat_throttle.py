"""How long the SDK holds heartbeats back."""

from __future__ import annotations

import pytest

from dbt_temporal.entrypoints.settings import read_settings


@pytest.mark.parametrize(("said", "seconds"), [(None, 2.0), ("1", 1.0), ("60", 2.0)])
def test_no_heartbeat_is_held_back_for_longer_than_news_or_the_worker_s_own_pace(
    said: str | None, seconds: float
) -> None:
    environ = {} if said is None else {"WORKER_HEARTBEAT_SECS": said}
    assert read_settings(environ).tuning.heartbeat_throttle.total_seconds() == seconds
