"""What a list of runs tells of those that were not planned."""

from __future__ import annotations

import pytest

from dbt_temporal.adapters.temporal.gateway import asked_for
from dbt_temporal.adapters.temporal.workflow_ids import named_in_id, new_workflow_id, workflow_id_of
from dbt_temporal.domain.run.input import parse_run_input


@pytest.mark.parametrize("command", ["build", "docs-generate", "run"])
def test_an_id_of_ours_names_the_command_and_the_project(command: str) -> None:
    run_input = parse_run_input({"command": command, "project": "jaffle-shop_2"})
    assert named_in_id(new_workflow_id(run_input)) == (command, "jaffle-shop_2")
    assert named_in_id(workflow_id_of(run_input, "request")) == (command, "jaffle-shop_2")
    assert named_in_id(new_workflow_id(parse_run_input({"command": command}), "shop")) == (command, "shop")


def test_an_id_of_ours_without_a_project_names_none() -> None:
    assert named_in_id(new_workflow_id(parse_run_input({}))) == ("build", "")


@pytest.mark.parametrize(
    "workflow_id", ["nightly", "dbt-build-nightly-2026-01-31T06:00:00Z", "dbt-fly-shop-20260131-060000-1a2b3c"]
)
def test_an_id_of_a_schedule_or_of_somebody_else_names_nothing(workflow_id: str) -> None:
    assert named_in_id(workflow_id) == ("", "")


def test_a_run_begins_with_what_it_is_found_by_and_nothing_that_may_be_secret() -> None:
    given = {"project": "shop", "select": "a" * 2000, "vars": {"key": "v"}, "env": {"TOKEN": "t"}}
    assert asked_for(given) == {"command": "build", "project": "shop", "select": "a" * 1000}
    assert asked_for({"command": 3}) == {}
