"""What two engines have come to on one project is compared node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dbt_temporal.domain.engine_comparison import (
    Column,
    EngineBuild,
    Place,
    RelationsCompared,
    as_json,
    compare,
    shared_places,
    to_compare,
)
from dbt_temporal.domain.results import NodeExecutionResult, NodeStatus

A = "model.shop.a"
PLACE = Place("db", "main", "a")
ID = Column("id", "integer")
OTHER = Column("b", "text")
ONLY_ONE_EACH = "rows; 1 only in the first, 1 only in the second"


def result(unique_id: str = A, word: str = "success", **fields: Any) -> NodeExecutionResult:
    status: NodeStatus = "error" if word in ("error", "fail") else "success"
    return NodeExecutionResult(unique_id=unique_id, status=status, dbt_status=word, **fields)


def build(*results: NodeExecutionResult, places: Mapping[str, Place] | None = None) -> EngineBuild:
    return EngineBuild("any", "1.0", 1.0, {each.unique_id: each for each in results}, places or {})


def relations(**fields: Any) -> RelationsCompared:
    return RelationsCompared(**{"columns": ([ID], [ID]), "counts": (2, 2), **fields})


@pytest.mark.parametrize(
    ("found", "verdict", "why"),
    [
        (relations(), "equal", ""),
        (relations(only=(1, 1), differing=("id",)), "rows", f"2 and 2 {ONLY_ONE_EACH}, in id"),
        (relations(counts=(2, 3), only=(0, 1)), "rows", "2 and 3 rows; 0 only in the first, 1 only in the second"),
        (relations(columns=([ID], [Column("id", "bigint")])), "columns", "id: integer and bigint"),
        (relations(columns=([ID], [ID, OTHER])), "columns", "only in the second: b"),
        (relations(columns=([ID], [OTHER]), counts=None), "columns", "only in the first: id; only in the second: b"),
        (RelationsCompared(problem="permission\n denied"), "not compared", "permission denied"),
    ],
)  # fmt: skip
def test_relations_differ_in_columns_before_rows(found: RelationsCompared, verdict: str, why: str) -> None:
    comparison = compare(build(result()), build(result()), {A: found})
    assert [(node.verdict, node.why) for node in comparison.nodes] == [(verdict, why)]
    assert comparison.equal == (verdict == "equal")


def test_another_status_is_a_difference_with_the_message_of_the_one_that_failed() -> None:
    comparison = compare(build(result()), build(result(word="error", message="no\nsuch column")), {})
    assert [(node.verdict, node.statuses, node.why) for node in comparison.nodes] == [
        ("status", ("success", "error"), "no such column")
    ]


def test_tests_that_fail_with_other_numbers_of_rows_differ() -> None:
    first, second = result("test.shop.t", "fail", failures=1), result("test.shop.t", "fail", failures=2)
    node = compare(build(first), build(second), {}).nodes[0]
    assert (node.verdict, node.why) == ("failures", "1 and 2 failing rows")


def test_nodes_of_one_engine_alone_are_named_but_for_those_that_do_nothing() -> None:
    comparison = compare(build(result()), build(result("model.shop.b"), result("model.shop.inner", "no-op")), {})
    assert [(node.unique_id, node.verdict) for node in comparison.nodes] == [
        (A, "one only"),
        ("model.shop.b", "one only"),
    ]


def test_a_singular_test_is_the_same_node_though_one_engine_gives_it_a_hash() -> None:
    hashed = "test.shop.paid.d7d3119300"
    comparison = compare(build(result("test.shop.paid", "pass")), build(result(hashed, "pass")), {})
    assert [(node.unique_id, node.verdict) for node in comparison.nodes] == [("test.shop.paid", "equal")]
    generic = compare(build(result(hashed, "pass")), build(result(hashed, "pass")), {})
    assert [node.unique_id for node in generic.nodes] == [hashed]


def test_relations_are_compared_where_both_were_built() -> None:
    places = {A: PLACE, "model.shop.b": PLACE}
    first = build(result(), result("model.shop.b"), result("test.shop.t", "pass"), places=places)
    second = build(result(), result("model.shop.b", "error"), result("test.shop.t", "pass"), places=places)
    assert to_compare(first, second) == [A]


def test_places_are_shared_whatever_the_case_of_their_names() -> None:
    assert shared_places({A: PLACE}, {A: Place("DB", "MAIN", "A")}) == [Place("DB", "MAIN", "A")]
    assert shared_places({A: PLACE}, {A: Place("db", "other", "a")}) == []


def test_all_of_it_is_json_data() -> None:
    found = relations(only=(1, 0), differing=("id",), examples=([{"id": None}], []))
    first = build(result(), places={A: PLACE})
    told = as_json(compare(first, build(result(), places={A: PLACE}), {A: found}))
    assert told["equal"] is False
    assert told["nodes"][0] | {"why": ""} == {
        "unique_id": A,
        "verdict": "rows",
        "why": "",
        "statuses": ["success", "success"],
        "seconds": [0.0, 0.0],
        "relations": ["db.main.a", "db.main.a"],
        "columns": [[{"name": "id", "type": "integer"}]] * 2,
        "rows": [2, 2],
        "only": [1, 0],
        "differing_columns": ["id"],
        "examples": [[{"id": None}], []],
    }
