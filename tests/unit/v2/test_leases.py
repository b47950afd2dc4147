"""What a run of a macro has to have for itself alone."""

from __future__ import annotations

from pathlib import Path

from dbt_temporal.adapters.dbt_v2.commands import TargetFacts
from dbt_temporal.adapters.dbt_v2.leases import lease_of_operation
from dbt_temporal.domain.leases.messages import LeasePer

FACTS = TargetFacts("dev", "duckdb", 4, database="d", schema="s", path="d.duckdb")


def what(per: LeasePer) -> str | None:
    lease = lease_of_operation(per, project="shop", facts=FACTS, folder=Path("/srv/shop"))
    return None if lease is None else lease.what


def test_a_macro_may_write_anything_of_its_target_or_project_and_no_relation_that_is_known() -> None:
    assert (what("target"), what("project")) == ("the schema d.s", "the project shop")
    assert (what("relation"), what("none")) == (None, None)
