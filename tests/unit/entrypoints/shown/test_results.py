"""Results of nodes as a person reads them."""

from __future__ import annotations

from dbt_temporal.domain.results import Freshness, NodeExecutionResult
from dbt_temporal.entrypoints.cli.operators.told import _of_result, _with_reasons


def test_results_tell_why_nodes_were_skipped_and_how_old_the_data_of_sources_is() -> None:
    freshness = Freshness(status="warn", max_loaded_at_time_ago_in_s=7200.0, criteria={})
    told = [
        NodeExecutionResult(unique_id="model.shop.a", status="error", message="it broke"),
        NodeExecutionResult(unique_id="model.shop.b", status="skipped", message="model.shop.a failed"),
        NodeExecutionResult(unique_id="source.shop.raw.c", status="success", dbt_status="warn", freshness=freshness),
    ]
    stored = [_of_result(each.model_copy(update={"message": None})) for each in told]
    assert [each.message for each in _with_reasons(stored, told)] == ["it broke", "model.shop.a failed", "2h 00m old"]
    assert [each.message for each in _with_reasons(stored, [])] == [None, None, None]
    assert stored[2].max_loaded_at_time_ago_in_s == 7200.0
