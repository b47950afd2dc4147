"""The summary of a run: dbt's words, within what the server takes."""

from __future__ import annotations

import pytest

from dbt_temporal.domain.details.headline import MAX_SUMMARY_BYTES, headline, hook_summary, run_summary


def test_it_says_what_is_selected_and_where_it_goes() -> None:
    asked = {"command": "run", "select": "stg_*", "target": "prod", "full_refresh": True, "env": {"PASSWORD": "x"}}
    assert headline(asked) == "dbt run --select stg_* --target prod --full-refresh"
    assert run_summary(asked) == r"dbt run --select stg\_\* --target prod --full-refresh"


def test_without_input_it_is_a_build() -> None:
    assert run_summary({}) == "dbt build"


@pytest.mark.parametrize("name", ["a ", "表 ", "* "])
def test_a_long_selection_is_cut_so_that_the_server_takes_it(name: str) -> None:
    summary = run_summary({"select": name * 500})
    assert len(summary.encode()) <= MAX_SUMMARY_BYTES
    assert summary.startswith("dbt build --select ")
    assert summary.endswith("…")


def test_the_summary_of_a_hook_shows_ids_as_they_are_within_what_the_server_takes() -> None:
    assert hook_summary("pre_run-1-check", "my__run*") == "hook `pre_run-1-check` of `my__run*`"
    assert len(hook_summary("ü" * 400, "n" * 1000).encode()) <= MAX_SUMMARY_BYTES
