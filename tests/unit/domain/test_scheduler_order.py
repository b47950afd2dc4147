"""Which of the nodes that are ready starts first."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from hypothesis import given, settings

from dbt_temporal.domain.results import NodeStatus
from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo
from dbt_temporal.domain.run.ready_queue import ReadyQueue
from dbt_temporal.domain.run.scheduler import Scheduler
from dbt_temporal.domain.run.turns import FAIL_FAST_REASON
from dbt_temporal.testing import model_id, node
from tests.unit.domain.test_scheduler import ids, plans, scheduler


def test_the_longest_remaining_path_goes_first_and_ties_go_by_plan_order() -> None:
    s = scheduler(node("short"), node("also_short"), node("long"), node("x", "long"), node("y", "x"), max_running=1)
    order = s.start().start
    while not s.done:
        order += s.complete(order[-1], "success").start
    assert order == ids("long", "x", "short", "also_short", "y")


def test_dbts_rank_comes_before_the_longest_remaining_path_and_is_no_barrier() -> None:
    nodes = {
        "model.shop.a1": node("a1", rank=0),
        "model.shop.a2": node("a2", "a1", rank=1),
        "model.shop.a3": node("a3", "a2", rank=2),
        "model.shop.book": node("book", rank=0),
    }
    scheduler = Scheduler(nodes, command="run", max_running=1)
    order = [*scheduler.start().start]
    while not scheduler.done:
        order += scheduler.complete(order[-1], "success").start
    assert order == ["model.shop.a1", "model.shop.book", "model.shop.a2", "model.shop.a3"]
    both = Scheduler(nodes, command="run", max_running=2)
    assert both.start().start == ["model.shop.a1", "model.shop.book"]
    assert both.complete("model.shop.a1", "success").start == ["model.shop.a2"]


def in_turn(
    *nodes: NodeInfo, failing: frozenset[str] = frozenset(), ephemerals: dict[str, EphemeralTurn] | None = None
) -> list[str]:
    """The order in which the nodes of a build end in dbt's order, with one thread."""
    by_id = {each.unique_id: each for each in nodes}
    s = Scheduler(by_id, ephemerals=ephemerals, command="build", max_running=1, first_come=True)
    ended: list[str] = []
    turn = s.start()
    while True:
        s = Scheduler.restore(by_id, json.loads(json.dumps(s.snapshot())), ephemerals)
        ended += [skip.unique_id for skip in turn.skipped]
        if not turn.start:
            return ended
        (unique_id,) = turn.start
        ended.append(unique_id)
        turn = s.complete(unique_id, "error" if unique_id in failing else "success")


def test_in_dbts_order_what_became_ready_first_starts_first_then_the_lowest_rank_then_the_lowest_name() -> None:
    nodes = (
        node("b", rank=0),
        node("a", rank=0),
        node("early", "a", rank=5),
        node("late", "b", rank=1),
        node("also_late", "b", rank=1),
        node("first_of_late", "b", rank=0),
    )
    assert in_turn(*nodes) == ids("a", "b", "early", "first_of_late", "also_late", "late")


def test_in_dbts_order_a_model_follows_its_unit_tests_at_once() -> None:
    nodes = (
        node("unit_test.shop.z", rank=0),
        node("unit_test.shop.y", "unit_test.shop.z", rank=0),
        node("a", "unit_test.shop.z", "unit_test.shop.y", rank=0),
        node("b", rank=0),
        node("c", rank=0),
    )
    assert in_turn(*nodes) == ["unit_test.shop.z", "unit_test.shop.y", *ids("a", "b", "c")]


def test_in_dbts_order_what_waits_for_an_ephemeral_model_is_ready_at_that_models_turn() -> None:
    nodes = (
        node("a", rank=0),
        node("behind_two", "a", rank=3),
        node("child", "a", rank=1),
        node("grandchild", "child", rank=2),
    )
    one, two = ids("one", "two")
    ephemerals = {
        one: EphemeralTurn(depends_on=ids("a"), rank=1),
        two: EphemeralTurn(depends_on=[one], children=ids("behind_two"), rank=2),
    }
    assert in_turn(*nodes) == ids("a", "child", "behind_two", "grandchild")
    assert in_turn(*nodes, ephemerals=ephemerals) == ids("a", "child", "grandchild", "behind_two")
    assert in_turn(*nodes, ephemerals=ephemerals, failing=frozenset(ids("a")))[0] == model_id("a")


def test_ephemeral_models_have_their_turns_before_the_node_that_starts_next_but_not_below_a_failure() -> None:
    nodes = {each.unique_id: each for each in (node("a", rank=0), node("b", rank=0), node("user", "a", rank=2))}
    before_b, below_a, of_both = ids("a_z", "below_a", "of_both")
    ephemerals = {
        before_b: EphemeralTurn(rank=0),
        below_a: EphemeralTurn(depends_on=ids("a"), children=ids("user"), rank=1),
        of_both: EphemeralTurn(depends_on=[below_a, *ids("b")], rank=2),
    }

    def turns(ending: NodeStatus) -> list[dict[str, list[str]]]:
        s = Scheduler(nodes, ephemerals=ephemerals, command="build", max_running=1, first_come=True)
        found = [s.start().ephemerals, s.complete(model_id("a"), ending).ephemerals]
        s = Scheduler.restore(nodes, json.loads(json.dumps(s.snapshot())), ephemerals)
        return [*found, s.complete(model_id("b"), "success").ephemerals]

    assert turns("success") == [{}, {model_id("b"): [before_b]}, {model_id("user"): [below_a, of_both]}]
    assert turns("error") == [{}, {model_id("b"): [before_b]}, {}]


def test_in_dbts_order_a_skipped_node_takes_its_turn() -> None:
    nodes = (node("a", rank=0), node("b", "a", rank=1), node("c", rank=0), node("d", "c", rank=1))
    failing = frozenset(ids("a"))
    assert in_turn(*nodes, failing=failing) == ids("a", "c", "b", "d")


def test_in_dbts_order_a_model_that_its_unit_test_skips_is_the_last_before_fail_fast_ends_the_run() -> None:
    nodes = (
        node("unit_test.shop.fails", rank=0),
        node("b", "unit_test.shop.fails", rank=0),
        node("c", "b", rank=1),
        node("d", rank=0),
    )
    by_id = {each.unique_id: each for each in nodes}
    s = Scheduler(by_id, command="build", max_running=2, fail_fast=True, first_come=True)
    assert s.start().start == ["unit_test.shop.fails", *ids("d")]
    turn = s.complete("unit_test.shop.fails", "error", "fail")
    assert [(skip.unique_id, skip.reason) for skip in turn.skipped] == [
        (model_id("b"), "unit_test.shop.fails failed"),
        (model_id("c"), FAIL_FAST_REASON),
    ]


@given(nodes=plans())
@settings(max_examples=100, deadline=None)
def test_nodes_that_are_ready_together_start_in_the_order_of_their_heights(nodes: dict[str, NodeInfo]) -> None:
    s = Scheduler(nodes, command="build", max_running=100)
    by_id = ReadyQueue(nodes, {}, first_come=False).heights
    heights = [by_id[unique_id] for unique_id in s.start().start]
    assert heights == sorted(heights, reverse=True)


def test_a_unit_test_is_never_skipped_behind_an_ephemeral_model() -> None:
    test = "unit_test.shop.u"
    nodes = {each.unique_id: each for each in (node("a", rank=0), node(test, "a", rank=2), node("user", test, rank=2))}
    ephemerals = {model_id("e"): EphemeralTurn(depends_on=ids("a"), children=[test, model_id("user")], rank=1)}
    s = Scheduler(nodes, ephemerals=ephemerals, command="build", max_running=1, first_come=True)
    s.start()
    skips = {skip.unique_id: skip.behind for skip in s.complete(model_id("a"), "error").skipped}
    assert skips == {test: None, model_id("user"): None}


def test_whoever_waits_for_a_skipped_ephemeral_model_is_skipped_behind_the_last_one_that_took_its_turn() -> None:
    unit_test, first, last = "unit_test.shop.u", *ids("first", "last")
    nodes = {
        each.unique_id: each
        for each in (
            node("broken", rank=0),
            node("seed", rank=0),
            node(unit_test, "seed", rank=1),
            node("user", "broken", unit_test, rank=2),
            node("below", "user", rank=3),
        )
    }
    ephemerals = {
        first: EphemeralTurn(depends_on=ids("broken"), children=ids("user"), rank=1),
        last: EphemeralTurn(depends_on=[*ids("seed"), unit_test], children=ids("user"), rank=1),
    }

    def skips(on_error: Literal["continue"] | None) -> dict[str, str | None]:
        own = ephemerals | {last: ephemerals[last].model_copy(update={"on_error": on_error})}
        s = Scheduler(nodes, ephemerals=own, command="build", max_running=1, first_come=True)
        s.start()
        s.complete(model_id("broken"), "error")
        s = Scheduler.restore(nodes, json.loads(json.dumps(s.snapshot())), own)
        assert s.complete(model_id("seed"), "success").start == [unit_test]
        turn = s.complete(unit_test, "error", "fail")
        assert turn.ephemerals == {}
        return {skip.unique_id: skip.behind for skip in turn.skipped}

    assert skips(None) == {model_id("user"): last, model_id("below"): None}
    assert skips("continue") == {model_id("user"): first, model_id("below"): None}


@pytest.mark.parametrize("command", ["build", "run"])
@pytest.mark.parametrize("broken_ends_last", [False, True])
def test_a_node_is_skipped_behind_an_ephemeral_model_that_may_yet_fail_where_its_turn_came_last(
    command: str, broken_ends_last: bool
) -> None:
    broken, seed, user = node("broken", rank=0), node("seed", rank=0), node("user", "broken", rank=2)
    nodes = {each.unique_id: each for each in (broken, seed, user, node("below", "user"))}
    ephemerals = {model_id("e"): EphemeralTurn(depends_on=ids("seed"), children=ids("user"), rank=1)}
    s = Scheduler(nodes, ephemerals=ephemerals, command=command, max_running=2, first_come=True)
    s.start()
    turns = []
    for each in ("seed", "broken") if broken_ends_last else ("broken", "seed"):
        s = Scheduler.restore(nodes, json.loads(json.dumps(s.snapshot())), ephemerals)
        turns.append(s.complete(model_id(each), "error" if each == "broken" else "success"))
    skips = {skip.unique_id: skip.behind_if_failed for turn in turns for skip in turn.skipped}
    behind = None if broken_ends_last else model_id("e")
    # In build what is skipped marks all below it, and so is their cause.
    assert skips == {model_id("user"): behind, model_id("below"): behind if command == "run" else None}
