"""The input of a run is checked whole, on a real server: what is wrong fails by its field, and nothing runs."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness, history, scheduled

WRONG_TYPES: dict[str, Any] = {
    "project": 1,
    "command": ["run"],
    "select": ["a", "b"],
    "exclude": {"a": 1},
    "selector": True,
    "indirect_selection": "greedy",
    "vars": "{a: 1}",
    "target": 7,
    "full_refresh": 1,
    "fail_fast": "true",
    "hooks": [],
    "env": [["A", "b"]],
    "defer_manifest_ref": {},
    "state_manifest_ref": 0,
    "sources_ref": 0,
    "retry_from": False,
    "event_time_start": 20260101,
    "event_time_end": "yesterday",
    "scheduled_time": "yesterday",
    "data_interval": "daily",
    "macro": 1,
    "args": ["a"],
    "sql": ["select 1"],
    "inline": {},
    "limit": "5",
    "output": 1,
    "output_keys": "name",
    "compile": "no",
    "static": 1,
    "empty_catalog": "true",
    "connection": [],
    "on_failure": True,
}
CONTRADICTIONS = [
    ({"selector": "nightly", "select": "a"}, "selector"),
    ({"selector": "nightly", "exclude": "a"}, "selector"),
    ({"command": "build", "inline": "select 1"}, "inline"),
    ({"command": "show", "inline": "select 1", "select": "a"}, "inline"),
    ({"command": "run-operation"}, "macro"),
    ({"command": "run-operation", "macro": "grant", "sql": "select 1"}, "macro"),
    ({"event_time_start": "2026-01-01"}, "event_time_start"),
    ({"event_time_end": "2026-01-01"}, "event_time_start"),
    ({"event_time_start": "2026-02-01", "event_time_end": "2026-01-01"}, "event_time_start"),
    ({"event_time_start": "2026-01-01T00:00:00Z", "event_time_end": "2026-02-01T00:00:00"}, "event_time_start"),
]
WITHIN_FIELDS = [
    ({"hooks": {"before_run": []}}, "hooks.before_run"),
    ({"hooks": {"pre_run": [{"workflow_type": "x"}]}}, "hooks.pre_run.0.task_queue"),
    ({"hooks": {"pre_run": [{"workflow_type": "x", "task_queue": "q", "on_error": "panic"}]}}, "on_error"),
    ({"hooks": {"pre_run": [{"workflow_type": "x", "task_queue": "q", "timeout_secs": -1}]}}, "timeout_secs"),
    ({"hooks": {"pre_run": [{"workflow_type": "x", "task_queue": "q", "retries": 3}]}}, "hooks.pre_run.0.retries"),
    ({"env": {"A": None}}, "env.A"),
]


async def refused(runs: RunHarness, argument: Any) -> str:
    """The message with which an input is refused; nothing may have been asked of dbt."""
    run = await runs.submit_raw([argument])
    outcome = await run.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration"), (argument, outcome)
    assert scheduled(await history(run.handle)) == []
    return outcome.message or ""


async def test_a_wrong_type_in_any_field_is_refused_by_its_name(runs: RunHarness) -> None:
    wrong_types = WRONG_TYPES | {name: [[1]] for name in FLAGS}
    assert wrong_types.keys() == DbtRunInput.model_fields.keys()
    for field, wrong in wrong_types.items():
        assert f"`{field}" in await refused(runs, {field: wrong})


@pytest.mark.parametrize(("argument", "field"), [*CONTRADICTIONS, *WITHIN_FIELDS])
async def test_a_contradiction_or_a_fault_within_a_field_is_refused_by_its_name(
    runs: RunHarness, argument: dict[str, Any], field: str
) -> None:
    assert field in await refused(runs, argument)


async def test_all_that_is_wrong_is_told_at_once_without_the_values(runs: RunHarness) -> None:
    message = await refused(runs, {"comand": "run", "env": {"TOKEN": ["hunter2"]}, "full_refresh": "hunter2"})
    assert "unknown field `comand`" in message
    assert "`env.TOKEN" in message
    assert "`full_refresh`" in message
    assert "hunter2" not in message


async def test_every_field_reaches_the_engine_as_it_was_given(runs: RunHarness) -> None:
    given = {
        "project": "shop",
        "command": "run",
        "select": "a+",
        "exclude": "b",
        "indirect_selection": "buildable",
        "vars": {"day": "2026-01-05", "nested": {"list": [1, 2.5, None]}},
        "target": "prod",
        "full_refresh": True,
        "fail_fast": True,
        "env": {"DB": "x"},
        "defer_manifest_ref": "/state/manifest.json",
        "state_manifest_ref": "s3://bucket/manifest.json",
        "sources_ref": "/state/sources.json",
        "retry_from": "/state/run_results.json",
        "event_time_start": "2026-01-01T00:00:00Z",
        "event_time_end": "2026-02-01T00:00:00Z",
    }
    runs.engine.run_plan = plan(node("a"))
    assert (await runs.run(given)).ending is Ending.COMPLETED
    (invocation,) = runs.engine.planned
    assert invocation.input.model_dump(mode="json", include=set(given)) == given


async def test_fields_of_single_commands_reach_the_engine_as_they_were_given(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    inputs: list[dict[str, Any]] = [
        {"command": "run-operation", "macro": "grant", "args": {"to": ["a", 1, None]}},
        {"command": "run-operation", "sql": "select 1"},
        {"command": "show", "inline": "select 1", "limit": -1, "output": "json"},
        {"command": "list", "output": "json", "output_keys": ["name"]},
        {"command": "docs-generate", "compile": False, "static": True, "empty_catalog": True},
        {"command": "debug", "connection": True},
        {"command": "build", "threads": 2, "empty": True, "warn_error": False, "warn_error_options": {"error": "all"}},
        {"command": "run", "sample": {"start": "2026-01-01", "end": "2026-02-01"}, "print": False},
    ]
    for given in inputs:
        assert (await runs.run(given)).ending is Ending.COMPLETED
    sent = [invocation.input for invocation in runs.engine.planned]
    assert [each.model_dump(mode="json", exclude_unset=True) for each in sent] == inputs


async def test_an_empty_input_means_the_defaults_of_the_contract(runs: RunHarness) -> None:
    await runs.run({})
    (invocation,) = runs.engine.planned
    assert invocation.project == "shop"
    # Flags that are not given are dbt's to resolve: from its environment and the project's `flags:`.
    expected = dict.fromkeys(DbtRunInput.model_fields.keys() - FLAGS.keys()) | {
        "command": "build",
        "vars": {},
        "env": {},
    }
    assert invocation.input.model_dump(mode="json") == expected
