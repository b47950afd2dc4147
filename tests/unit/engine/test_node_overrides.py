import pytest

from dbt_temporal.adapters.node_overrides import node_overrides
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

NODE = "model.shop.orders"


def problem(meta: object) -> str:
    with pytest.raises(DbtTemporalError) as caught:
        node_overrides(NODE, {"dbt_temporal": meta})
    assert caught.value.error_type is ErrorType.CONFIGURATION
    assert NODE in caught.value.message
    return caught.value.message


def test_a_node_without_the_key_has_no_overrides() -> None:
    assert node_overrides(NODE, {"owner": "me"}) is None


def test_overrides_are_read() -> None:
    retry = {"max_attempts": 5, "on_lost_attempt": "retry"}
    read = node_overrides(NODE, {"dbt_temporal": {"retry": retry, "timeout_secs": 60, "task_queue": "big"}})

    assert read is not None
    assert (read.max_attempts, read.timeout_secs, read.task_queue) == (5, 60.0, "big")
    assert (read.initial_interval_secs, read.on_lost_attempt) == (None, "retry")


def test_an_unknown_key_is_named_with_those_that_are_allowed() -> None:
    assert "meta.dbt_temporal.queue" in problem({"queue": "big"})
    message = problem({"retry": {"attempts": 2}})
    assert "meta.dbt_temporal.retry.attempts" in message
    assert "max_attempts" in message


def test_a_wrong_value_is_named() -> None:
    assert "meta.dbt_temporal.retry.max_attempts" in problem({"retry": {"max_attempts": 0}})
    assert "'ask', 'retry' or 'fail'" in problem({"retry": {"on_lost_attempt": "again"}})
    assert "meta.dbt_temporal.timeout_secs" in problem({"timeout_secs": "soon"})


def test_something_else_than_a_mapping_is_refused() -> None:
    assert "must be a mapping" in problem("fast")
