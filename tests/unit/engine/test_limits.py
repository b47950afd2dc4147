"""Names and times that Temporal would refuse are refused, or cut, before a run can hang by them."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_temporal.adapters.node_overrides import node_overrides
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.limits import MAX_NAME_BYTES, fit_name
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import node

HOOK = {"workflow_type": "notify", "task_queue": "hooks"}


def test_the_activity_types_of_over_long_names_are_cut_and_stay_apart() -> None:
    arguments = "accepted_values_orders_status_" + "é" * 2000
    names = [node(f"test.shop.{arguments}{end}").activity_type for end in "ab"]
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= MAX_NAME_BYTES and name.startswith("test:accepted_values") for name in names)
    assert node("orders").activity_type == "model:orders"


def test_a_name_is_cut_only_where_it_is_too_long() -> None:
    assert fit_name("x" * 100, 100) == "x" * 100
    assert len(fit_name("x" * 101, 100)) == 100


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("task_queue", "", "must have 1 to 900 bytes"),
        ("task_queue", "q" * 901, "must have 1 to 900 bytes"),
        ("task_queue", "/_sys/q", "must not begin with /_sys/"),
        ("workflow_type", "é" * 451, "must have 1 to 900 bytes"),
        ("timeout_secs", 1e-9, "greater than or equal to 0.001"),
    ],
)
def test_a_hook_that_temporal_could_not_start_is_refused(field: str, value: Any, problem: str) -> None:
    hooks = {"pre_run": [HOOK | {field: value}]}
    with pytest.raises(DbtTemporalError, match=problem) as caught:
        parse_run_input({"hooks": hooks})
    assert f"hooks.pre_run.0.{field}" in caught.value.message
    with pytest.raises(DbtTemporalError, match=problem):
        parse_project_config({"hooks": hooks}, "dbt_temporal.yml")


@pytest.mark.parametrize("meta", [{"task_queue": "/_sys/q"}, {"task_queue": "q" * 901}, {"timeout_secs": 1e-9}])
def test_a_node_that_temporal_could_not_schedule_is_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(DbtTemporalError, match=r"model\.shop\.a: meta\.dbt_temporal"):
        node_overrides("model.shop.a", {"dbt_temporal": meta})


@pytest.mark.parametrize("name", ["node_secs", "hook_secs", "plan_secs", "store_artifacts_secs"])
def test_a_time_limit_that_rounds_to_none_is_refused(name: str) -> None:
    with pytest.raises(DbtTemporalError, match=r"greater than or equal to 0\.001"):
        parse_project_config({"timeouts": {name: 1e-9}}, "dbt_temporal.yml")
