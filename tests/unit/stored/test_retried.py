"""What a retry takes over from the run that it retries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.earlier_runs import RetriedRuns
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

DEFAULTS: dict[str, Any] = {
    "which": "build",
    "vars": {},
    "full_refresh": False,
    "favor_state": False,
    "warn_error_options": {"error": [], "warn": [], "silence": []},
}


async def taken_over(folder: Path, arguments: dict[str, Any], **run_input: Any) -> dict[str, Any]:
    (folder / "run_results.json").write_text(json.dumps({"args": DEFAULTS | arguments}))
    invocation = DbtInvocation(
        invocation_id="i",
        project="shop",
        started_at="2026-01-01T00:00:00+00:00",
        input=DbtRunInput(command="retry", retry_from=str(folder), **run_input),
    )
    taken = await RetriedRuns(None, folder).taken_over(invocation, folder)
    assert taken.pop("command") == arguments.get("which", "build")
    return taken


@pytest.mark.parametrize("values", [{"broken": False}, {"n": 0, "text": ""}, {"none": None}, {"some": 1}])
async def test_vars_are_taken_over_whatever_their_values(tmp_path: Path, values: dict[str, Any]) -> None:
    assert (await taken_over(tmp_path, {"vars": values}))["vars"] == values


async def test_arguments_of_a_macro_are_taken_over_whatever_their_values(tmp_path: Path) -> None:
    arguments = {"which": "run-operation", "macro": "grant", "args": {"dry_run": False}}
    assert (await taken_over(tmp_path, arguments))["args"] == {"dry_run": False}


async def test_vars_that_are_given_anew_count_alone(tmp_path: Path) -> None:
    assert "vars" not in await taken_over(tmp_path, {"vars": {"broken": False}}, vars={"broken": True})


async def test_what_dbt_would_take_anyway_is_not_taken_over(tmp_path: Path) -> None:
    taken = await taken_over(tmp_path, {})
    assert taken.keys() & {"vars", "warn_error_options", "favor_state"} == set()
