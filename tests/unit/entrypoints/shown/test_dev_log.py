"""The worker's log as `dbt-temporal dev` shows it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from dbt_temporal.adapters.telemetry.logs import TextFormatter
from dbt_temporal.application.log_context import log_fields
from dbt_temporal.domain.secrets.redaction import Redactor
from dbt_temporal.entrypoints.dev.calm import CalmLines

STEPS = "dbt_temporal.adapters.temporal.telemetry.steps"


def record(message: str, workflow_id: str | None = None, *, logger: str = STEPS, level: int = logging.INFO) -> str:
    """A line as the worker writes it, with its time left to the clock."""
    made = logging.LogRecord(logger, level, "file", 1, message, None, None)
    made.created = 1_769_839_210.0
    if workflow_id is None:
        return TextFormatter(Redactor(frozenset())).format(made)
    with log_fields(invocation_id="i", project="shop", node="model.shop.a", attempt=1, workflow_id=workflow_id):
        return TextFormatter(Redactor(frozenset())).format(made)


def shown(*records: str) -> list[str]:
    calm = CalmLines()
    lines = [line for text in records for line in text.splitlines()]
    return [text.plain for line in lines for text in calm.of(line)]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_nodes_stand_below_their_run_without_what_is_the_same_on_each_line() -> None:
    assert shown(
        record("plan_project done in 0.14 s", "first"),
        record("before_run done in 0.43 s", "first"),
        record("model:a success in 0.09 s", "first"),
        record("test:b pass in 0.10 s", "second"),
        record("model:c success in 0.20 s", "first"),
        record("store_artifacts done in 0.61 s", "first"),
        record("end_run done in 0.06 s", "first"),
    ) == [
        "06:00:10  first is planned",
        "06:00:10    model:a success in 0.09 s",
        "06:00:10  second",
        "06:00:10    test:b pass in 0.10 s",
        "06:00:10  first",
        "06:00:10    model:c success in 0.20 s",
        "06:00:10  first has ended",
    ]


def test_a_warning_is_whole_and_stands_out() -> None:
    calm = CalmLines()
    text = record("model:a failed: Adapter\n  no column | here\nLog: a.log", "first", level=logging.WARNING)
    lines = [each for line in text.splitlines() for each in calm.of(line)]
    assert [(each.plain, each.style) for each in lines] == [
        ("06:00:10  first", "dim"),
        ("06:00:10    model:a failed: Adapter", "yellow"),
        ("  no column | here", "yellow"),
        ("Log: a.log", "yellow"),
    ]


def test_what_is_of_no_run_or_no_record_is_told_as_it_is() -> None:
    assert shown("Loaded project shop", record("the worker polls", logger="dbt_temporal.health")) == [
        "Loaded project shop",
        "06:00:10  the worker polls",
    ]
