"""What operators say of nodes, in the order of nodes: held, skipped, accepted, opened again."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo
from dbt_temporal.domain.run.replanning import scheduler_of_new_plan
from dbt_temporal.domain.run.scheduler import Scheduler
from dbt_temporal.domain.run.turns import SKIP_ORDERED_REASON, Turn
from dbt_temporal.testing import model_id, node


def scheduler(*nodes: NodeInfo, **options: Any) -> Scheduler:
    by_id = {each.unique_id: each for each in nodes}
    return Scheduler(by_id, **{"command": "build", "max_running": 4, "first_come": True, **options})


def ids(*names: str) -> list[str]:
    return [model_id(name) for name in names]


def skipped(turn: Turn) -> dict[str, str]:
    return {skip.unique_id.rpartition(".")[2]: skip.reason for skip in turn.skipped}


def test_a_held_node_does_not_start_and_what_does_not_wait_for_it_goes_on() -> None:
    s = scheduler(node("a"), node("b"), node("c", "a"), node("d", "b"))
    s.order(ids("a"), "hold")
    assert s.start().start == ids("b")
    assert s.complete(model_id("b"), "success").start == ids("d")
    s.complete(model_id("d"), "success")
    assert s.held == ids("a")
    assert not s.done
    assert s.order(ids("a"), None).start == ids("a")


def test_a_node_that_is_to_be_skipped_dooms_all_below_it_at_its_turn_even_where_a_skip_by_dbt_would_not() -> None:
    s = scheduler(node("a"), node("b", "a"), node("c", "b"), command="run")
    s.start()
    s.order(ids("b"), "skip")
    turn = s.complete(model_id("a"), "success")
    assert skipped(turn) == {"b": SKIP_ORDERED_REASON, "c": "model.shop.b was skipped"}
    assert s.done


def test_a_node_that_is_to_be_accepted_counts_as_done_though_its_parent_has_failed() -> None:
    s = scheduler(node("a"), node("b", "a"), node("c", "b"))
    s.start()
    s.order(ids("b"), "accept")
    turn = s.complete(model_id("a"), "error", "error")
    assert turn.accepted == ids("b")
    # What is below b is below a as well.
    assert skipped(turn) == {"c": "model.shop.a failed"}


def test_a_failed_node_that_is_opened_again_runs_and_so_does_what_was_skipped_for_it() -> None:
    s = scheduler(node("a"), node("b", "a"), node("c", "b"), node("other"))
    s.start()
    s.complete(model_id("other"), "success")
    assert skipped(s.complete(model_id("a"), "error", "error")).keys() == {"b", "c"}
    assert s.done
    assert s.reopen(ids("a")) == ids("a", "b", "c")
    assert s.order(ids("a"), None).start == ids("a")
    assert s.complete(model_id("a"), "success").start == ids("b")
    assert s.complete(model_id("b"), "success").start == ids("c")


def test_what_another_failure_has_skipped_stays_skipped() -> None:
    s = scheduler(node("a"), node("z"), node("of_both", "a", "z"), node("of_z", "z"))
    s.start()
    s.complete(model_id("a"), "error", "error")
    s.complete(model_id("z"), "error", "error")
    assert s.reopen(ids("a")) == ids("a", "of_both")
    assert s.order(ids("a"), None).start == ids("a")
    assert skipped(s.complete(model_id("a"), "success")) == {"of_both": "model.shop.z failed"}
    assert s.done


def test_a_failed_node_that_is_accepted_lets_those_below_it_run() -> None:
    s = scheduler(node("a"), node("b", "a"))
    s.start()
    s.complete(model_id("a"), "error", "fail")
    s.reopen(ids("a"))
    turn = s.order(ids("a"), "accept")
    assert (turn.accepted, turn.start) == (ids("a"), ids("b"))


def test_a_run_that_fail_fast_has_ended_goes_on_with_all_that_it_kept_from_running() -> None:
    s = scheduler(node("a"), node("b"), node("c", "b"), max_running=1, fail_fast=True)
    s.start()
    assert s.complete(model_id("a"), "error", "error").start == ids("b")
    assert skipped(s.complete(model_id("b"), "success")).keys() == {"c"}
    assert s.done
    assert s.reopen(ids("a")) == ids("a", "c")
    assert s.order(ids("a"), None).start == ids("a")
    assert s.complete(model_id("a"), "success").start == ids("c")


def test_what_has_ended_well_does_not_run_again_when_a_node_above_it_does() -> None:
    s = scheduler(node("a"), node("b", "a"))
    s.start()
    s.order(ids("a"), "accept")
    s.complete(model_id("a"), "success", "success")
    s.complete(model_id("b"), "success")
    assert s.reopen(ids("a")) == ids("a")
    assert s.order(ids("a"), None).start == ids("a")
    assert s.complete(model_id("a"), "success").start == []
    assert s.done


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[NodeInfo], set[str]]:
    names = [f"n{index}" for index in range(draw(st.integers(1, 9)))]
    nodes = [
        node(name, *draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=3)) if index else [])
        for index, name in enumerate(names)
    ]
    return nodes, set(draw(st.lists(st.sampled_from(names), unique=True)))


def drive(s: Scheduler, turn: Turn, failing: set[str], record: dict[str, str]) -> None:
    running = list(turn.start)
    record |= dict.fromkeys((skip.unique_id for skip in turn.skipped), "skipped")
    while running:
        unique_id = running.pop(0)
        fails = unique_id.rpartition(".")[2] in failing
        record[unique_id] = "error" if fails else "success"
        turn = s.complete(unique_id, "error" if fails else "success", record[unique_id])
        record |= dict.fromkeys((skip.unique_id for skip in turn.skipped), "skipped")
        running += turn.start


@settings(max_examples=150, deadline=None)
@given(graphs(), st.booleans(), st.booleans(), st.integers(1, 3))
def test_a_run_that_is_repaired_ends_as_one_in_which_nothing_had_failed(
    graph: tuple[list[NodeInfo], set[str]], fail_fast: bool, first_come: bool, threads: int
) -> None:
    nodes, failing = graph
    s = scheduler(*nodes, fail_fast=fail_fast, first_come=first_come, max_running=threads)
    record: dict[str, str] = {}
    drive(s, s.start(), failing, record)
    assert s.done
    assert record.keys() == {each.unique_id for each in nodes}
    while failed := [unique_id for unique_id, status in record.items() if status == "error"]:
        s = Scheduler.restore({each.unique_id: each for each in nodes}, json.loads(json.dumps(s.snapshot())))
        for unique_id in s.reopen(failed):
            del record[unique_id]
        drive(s, s.order(failed, None), set(), record)
        assert s.done
    assert record == dict.fromkeys((each.unique_id for each in nodes), "success")


def test_a_node_that_runs_is_not_started_again_when_one_above_it_runs_again() -> None:
    s = scheduler(node("a"), node("b", "a"))
    s.start()
    s.complete(model_id("a"), "error", "error")
    s.reopen(ids("a"))
    turn = s.order(ids("a"), "accept")
    assert (turn.accepted, turn.start) == (ids("a"), ids("b"))
    s.reopen(ids("a"))
    assert s.order(ids("a"), None).start == ids("a")
    assert s.complete(model_id("a"), "success").start == []
    s.complete(model_id("b"), "success")
    assert s.done


def test_a_held_node_that_may_run_waits_for_what_is_above_it_and_runs_again() -> None:
    s = scheduler(node("a"), node("b", "a"))
    s.order(ids("b"), "hold")
    s.start()
    s.complete(model_id("a"), "error", "error")
    assert s.held == ids("b")
    s.reopen(ids("a"))
    assert s.order(ids("a", "b"), None).start == ids("a")
    assert s.complete(model_id("a"), "success").start == ids("b")


def test_by_a_new_plan_nodes_below_an_ephemeral_model_are_doomed_only_by_what_is_above_it_now() -> None:
    nodes = {each.unique_id: each for each in (node("a"), node("c"))}
    turn = EphemeralTurn(depends_on=ids("a"), children=ids("c"))
    s = Scheduler(nodes, ephemerals={model_id("e"): turn}, command="build", max_running=1, first_come=True)
    s.start()
    assert skipped(s.complete(model_id("a"), "error", "error")) == {"c": "model.shop.a failed"}
    mended = turn.model_copy(update={"depends_on": []})
    s = scheduler_of_new_plan(s, {model_id("c"): nodes[model_id("c")]}, {model_id("e"): mended})
    s.order((), None)
    s.reopen(ids("c"))
    assert s.order(ids("c"), None).start == ids("c")


def test_a_run_that_had_come_to_its_end_by_fail_fast_runs_what_a_new_plan_adds() -> None:
    s = scheduler(node("a"), node("b", "a"), fail_fast=True)
    s.start()
    s.complete(model_id("a"), "error", "error")
    assert s.stopped is not None
    s = scheduler_of_new_plan(s, {model_id("mended"): node("mended")}, {})
    assert s.order((), None).start == ids("mended")
    s.complete(model_id("mended"), "success")
    assert s.done


def test_a_held_node_that_may_run_when_no_thread_is_free_runs_once() -> None:
    s = scheduler(node("a"), node("b", "a"), node("d"), max_running=1)
    s.order(ids("b"), "hold")
    s.start()
    s.complete(model_id("a"), "error", "error")
    s.reopen(ids("a"))
    assert s.order(ids("a"), None).start == []
    assert s.complete(model_id("d"), "success").start == ids("a")
    s.complete(model_id("a"), "success")
    assert s.order(ids("b"), None).start == ids("b")
    s.complete(model_id("b"), "success")
    assert s.done


def test_by_a_new_plan_a_table_that_was_an_ephemeral_model_and_skipped_dooms_nobody() -> None:
    nodes = {each.unique_id: each for each in (node("a"), node("c"))}
    turn = EphemeralTurn(depends_on=ids("a"), children=ids("c"))
    s = Scheduler(nodes, ephemerals={model_id("m"): turn}, command="build", max_running=1, first_come=True)
    s.start()
    s.complete(model_id("a"), "error", "error")
    mended = {each.unique_id: each for each in (node("a"), node("m"), node("c", "m"))}
    s = scheduler_of_new_plan(s, mended, {})
    assert s.order((), None).start == ids("m")
    s.complete(model_id("m"), "success")
    s.reopen(ids("c"))
    assert s.order(ids("c"), None).start == ids("c")
