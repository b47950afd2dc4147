"""What a retry on dbt v2 runs again."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_temporal.adapters.dbt_v2.runs.selection import to_retry
from dbt_temporal.adapters.earlier_runs import remembered
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import parse_run_input


def entry(name: str, status: str, message: str | None = None) -> dict[str, Any]:
    return {"unique_id": name, "status": status, "message": message}


EPHEMERAL = entry("model.p.eph", "skipped", "Skipped")


def test_what_failed_and_what_was_skipped_is_run_again() -> None:
    results = [
        entry("operation.p.p-on-run-start-0", "error"),
        *(entry(f"model.p.{word[0]}", word) for word in ("error", "success", "partial success", "runtime error")),
        entry("model.p.below", "skipped", "Skipped due to upstream failure"),
        entry("test.p.t", "fail"),
        entry("test.p.w", "warn"),
        EPHEMERAL,
    ]
    assert to_retry(results, "there") == {
        *("model.p.e", "model.p.p", "model.p.r", "model.p.below", "test.p.t", "model.p.eph")
    }


def test_ephemeral_models_alone_are_nothing_to_retry() -> None:
    assert to_retry([EPHEMERAL, entry("model.p.a", "success")], "there") == frozenset()
    with pytest.raises(DbtTemporalError, match="the run at there has no results, so there is nothing to retry"):
        to_retry([], "there")


def test_a_run_remembers_what_its_retry_takes_over() -> None:
    given = {
        "vars": {"n": 0},
        "target": "prod",
        "full_refresh": False,
        "select": "a",
        "defer_manifest_ref": "prod/m.json",
    }
    assert remembered(parse_run_input(given)) == {
        **{"vars": {"n": 0}, "target": "prod", "full_refresh": False},
        **{"defer": True, "defer_state": "prod/m.json"},
    }
