import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.results import NodeStatus
from dbt_temporal.domain.run.plan import NodeInfo
from dbt_temporal.domain.run.scheduler import Scheduler
from dbt_temporal.domain.run.turns import FAIL_FAST_REASON, FIRST_ERROR_REASON, Turn
from dbt_temporal.testing import model_id, node


def scheduler(*nodes: NodeInfo, command: str = "build", max_running: int = 4, fail_fast: bool = False) -> Scheduler:
    by_id = {each.unique_id: each for each in nodes}
    return Scheduler(by_id, command=command, max_running=max_running, fail_fast=fail_fast)


def skipped(turn: Turn) -> dict[str, str | None]:
    return {skip.unique_id: skip.cause for skip in turn.skipped}


def ids(*names: str) -> list[str]:
    return [model_id(name) for name in names]


def test_a_node_starts_as_soon_as_everything_it_depends_on_has_ended() -> None:
    s = scheduler(node("a"), node("b"), node("c", "a"), node("d", "a", "b"))
    assert s.start().start == ids("a", "b")
    assert s.complete(model_id("a"), "success").start == ids("c")
    assert s.complete(model_id("b"), "success").start == ids("d")
    assert not s.done
    s.complete(model_id("c"), "success")
    s.complete(model_id("d"), "success")
    assert s.done


def test_no_more_nodes_run_at_once_than_dbts_threads() -> None:
    s = scheduler(node("a"), node("b"), node("c"), max_running=2)
    assert s.start().start == ids("a", "b")
    assert s.complete(model_id("b"), "success").start == ids("c")


def test_a_failed_node_skips_all_its_descendants_and_names_itself_as_the_cause() -> None:
    s = scheduler(node("a"), node("b", "a"), node("c", "b"), node("other"))
    s.start()
    turn = s.complete(model_id("a"), "error", "error")
    assert skipped(turn) == {model_id("b"): model_id("a"), model_id("c"): model_id("a")}
    assert turn.skipped[0].reason == "model.shop.a failed"


def test_where_others_tell_of_skips_a_failure_skips_nothing_and_fail_fast_ends_with_it() -> None:
    by_id = {each.unique_id: each for each in (node("a"), node("b", "a"), node("c", "b"), node("d", "c"))}
    s = Scheduler(by_id, command=None, max_running=2, at_once=True)
    s.start()
    assert s.complete(model_id("a"), "error").start == ids("b")
    turn = Scheduler.restore(by_id, json.loads(json.dumps(s.snapshot()))).complete(model_id("b"), "skipped", "skipped")
    assert (turn.start, turn.skipped) == (ids("c"), [])
    s.set_fail_fast(True)
    assert s.done is False


def test_a_skipped_node_is_reported_when_its_own_parents_have_ended() -> None:
    s = scheduler(node("a"), node("slow"), node("b", "a", "slow"))
    s.start()
    assert s.complete(model_id("a"), "error").skipped == []
    assert skipped(s.complete(model_id("slow"), "success")) == {model_id("b"): model_id("a")}


@pytest.mark.parametrize(
    ("command", "dbt_status", "skips"),
    [
        ("build", "error", True),
        ("build", "fail", True),
        ("build", "partial success", True),
        ("build", "warn", False),
        ("build", "pass", False),
        ("run", "error", True),
        ("run", "partial success", True),
        ("run", "fail", False),
        ("test", "fail", False),
    ],
)
def test_which_endings_skip_dependents_is_dbts_rule(command: str, dbt_status: str, skips: bool) -> None:
    s = scheduler(node("a"), node("b", "a"), command=command)
    s.start()
    status: NodeStatus = "success" if dbt_status in ("warn", "pass") else "error"
    turn = s.complete(model_id("a"), status, dbt_status)
    assert (skipped(turn) != {}) is skips
    assert (turn.start != []) is not skips


def test_a_cancelled_node_counts_like_an_error_for_its_dependents() -> None:
    s = scheduler(node("a"), node("b", "a"), command="run")
    s.start()
    turn = s.complete(model_id("a"), "cancelled")
    assert turn.skipped[0].reason == "model.shop.a was cancelled"


def test_a_failed_unit_test_skips_its_model_and_with_it_the_models_children() -> None:
    unit = "unit_test.shop.a.adds_up"
    s = scheduler(node(unit), node("a", unit), node("b", "a"))
    s.start()
    assert skipped(s.complete(unit, "error", "fail")) == {model_id("a"): unit, model_id("b"): unit}


def test_children_of_a_model_with_on_error_continue_run_although_it_failed() -> None:
    s = scheduler(node("a", on_error="continue"), node("b", "a"))
    s.start()
    assert s.complete(model_id("a"), "error", "error").start == ids("b")


def test_children_run_when_a_unit_test_skipped_a_model_with_on_error_continue() -> None:
    unit = "unit_test.shop.a.adds_up"
    s = scheduler(node(unit), node("a", unit, on_error="continue"), node("b", "a"))
    s.start()
    turn = s.complete(unit, "error", "fail")
    assert skipped(turn) == {model_id("a"): unit}
    assert turn.start == ids("b")


def test_on_error_continue_in_between_does_not_save_descendants_of_a_failed_node() -> None:
    s = scheduler(node("a"), node("b", "a", on_error="continue"), node("c", "b"))
    s.start()
    assert set(skipped(s.complete(model_id("a"), "error", "error"))) == set(ids("b", "c"))


def test_fail_fast_starts_nothing_after_the_first_failure_and_skips_the_rest_with_dbts_message() -> None:
    s = scheduler(node("a"), node("b"), node("c", "a"), node("d"), max_running=2, fail_fast=True)
    s.start()
    turn = s.complete(model_id("a"), "error", "error")
    assert turn.start == []
    assert {skip.unique_id: skip.reason for skip in turn.skipped} == dict.fromkeys(ids("c", "d"), FAIL_FAST_REASON)
    assert s.running == ids("b")
    assert s.stopped
    assert s.complete(model_id("b"), "success") == Turn()
    assert s.done


def test_fail_fast_lets_run_what_dbts_queue_has_handed_out_until_it_hands_out_a_further_node() -> None:
    nodes = (node("a", rank=0), node("b", rank=0), node("c", "b", rank=1), node("d", rank=0))
    s = scheduler(*nodes, max_running=1, fail_fast=True)
    assert s.start().start == ids("b")
    turn = s.complete(model_id("b"), "error")
    assert skipped(turn) == dict.fromkeys(ids("a", "c", "d"))
    s = scheduler(*nodes, max_running=2, fail_fast=True)
    assert s.start().start == ids("b", "a")
    assert s.complete(model_id("a"), "error") == Turn(start=ids("d"))
    assert skipped(s.complete(model_id("b"), "success")) == {model_id("c"): None}


def test_fail_fast_ends_the_run_with_the_failure_where_all_was_handed_out() -> None:
    s = scheduler(node("a"), node("b"), node("c"), max_running=2, fail_fast=True)
    s.start()
    assert skipped(s.complete(model_id("a"), "error")) == {model_id("c"): None}
    assert s.running == ids("b")


def test_a_model_is_handed_out_together_with_its_unit_tests() -> None:
    first, second = "unit_test.shop.m.first", "unit_test.shop.m.second"
    s = scheduler(node(first), node(second, first), node("m", first, second), node("child", "m"), fail_fast=True)
    s.start()
    turn = s.complete(first, "error", "fail")
    reasons = {skip.unique_id: skip.reason for skip in turn.skipped}
    assert reasons.pop(model_id("child")) == FAIL_FAST_REASON
    assert reasons == dict.fromkeys([second, model_id("m")], f"{first} failed")


def test_a_command_that_ends_at_its_first_error_lets_what_was_handed_out_end() -> None:
    nodes = {each.unique_id: each for each in (node("a"), node("b"), node("c", "b"))}
    s = Scheduler(nodes, command="compile", max_running=2, ends_on_error=True)
    s.start()
    assert s.complete(model_id("a"), "error").skipped == []
    turn = s.complete(model_id("b"), "success")
    assert [(skip.unique_id, skip.reason) for skip in turn.skipped] == [(model_id("c"), FIRST_ERROR_REASON)]
    nodes.popitem()
    s = Scheduler(nodes, command="compile", max_running=1, ends_on_error=True)
    s.start()
    assert s.complete(model_id("a"), "error").start == ids("b")


def test_an_error_of_what_dbt_does_beside_its_queue_ends_nothing_early() -> None:
    parts = [
        NodeInfo(unique_id=f"catalog.shop.{name}", name=name, resource_type="catalog", package_name="shop")
        for name in "abc"
    ]
    s = Scheduler(
        {each.unique_id: each for each in parts},
        command="docs-generate",
        max_running=1,
        fail_fast=True,
        ends_on_error=True,
    )
    assert [s.start().start, *(s.complete(each.unique_id, "error").start for each in parts)] == [
        ["catalog.shop.a"],
        ["catalog.shop.b"],
        ["catalog.shop.c"],
        [],
    ]
    assert s.done


def test_fail_fast_does_not_stop_at_a_warning() -> None:
    s = scheduler(node("a"), node("b", "a"), fail_fast=True)
    s.start()
    assert s.complete(model_id("a"), "success", "warn").start == ids("b")


def test_fail_fast_turned_on_after_a_failure_ends_the_run_now() -> None:
    s = scheduler(node("a"), node("b"), node("c", "b"))
    s.start()
    s.complete(model_id("a"), "error", "error")
    assert [skip.unique_id for skip in s.set_fail_fast(True)] == ids("c")


def test_fail_fast_turned_off_in_time_lets_the_run_go_on() -> None:
    s = scheduler(node("a"), node("b"), node("c", "b"), fail_fast=True)
    s.start()
    assert s.set_fail_fast(False) == []
    s.complete(model_id("a"), "error", "error")
    assert s.complete(model_id("b"), "success").start == ids("c")


def test_a_plan_whose_nodes_wait_for_each_other_is_refused() -> None:
    with pytest.raises(DbtTemporalError, match="wait for each other"):
        scheduler(node("a", "b"), node("b", "a"))


def test_a_plan_that_names_a_node_it_does_not_hold_is_refused() -> None:
    with pytest.raises(DbtTemporalError, match=r"depends on model\.shop\.gone"):
        scheduler(node("a", "gone"))


def test_completing_a_node_that_does_not_run_is_refused() -> None:
    s = scheduler(node("a"))
    with pytest.raises(ValueError, match="not running"):
        s.complete(model_id("a"), "success")


STATUSES: list[tuple[NodeStatus, str]] = [
    ("success", "success"),
    ("success", "warn"),
    ("error", "error"),
    ("error", "fail"),
    ("error", "partial success"),
    ("cancelled", "cancelled"),
]


@st.composite
def plans(draw: st.DrawFn) -> dict[str, NodeInfo]:
    nodes: dict[str, NodeInfo] = {}
    for index in range(draw(st.integers(1, 14))):
        parents = draw(st.lists(st.sampled_from(sorted(nodes)), unique=True, max_size=3)) if nodes else []
        kind = draw(st.sampled_from(["model", "model", "model", "test", "seed", "unit_test"]))
        on_error = draw(st.sampled_from([None, None, "continue"])) if kind == "model" else None
        each = node(f"{kind}.shop.n{index}", *parents, on_error=on_error)
        nodes[each.unique_id] = each
    return nodes


class Walk:
    """Drives a scheduler by drawn choices and keeps what happened."""

    def __init__(self, s: Scheduler, nodes: dict[str, NodeInfo]) -> None:
        self.scheduler = s
        self.nodes = nodes
        self.started: list[str] = []
        self.ended: list[str] = []

    def follow(self, turn: Turn) -> None:
        for skip in turn.skipped:
            assert skip.unique_id not in self.started
            self.ended.append(skip.unique_id)
        for unique_id in turn.start:
            assert set(self.nodes[unique_id].depends_on) <= set(self.ended)
            self.started.append(unique_id)

    def step(self, which: int, how: tuple[NodeStatus, str]) -> None:
        running = self.scheduler.running
        unique_id = running[which % len(running)]
        self.ended.append(unique_id)
        self.follow(self.scheduler.complete(unique_id, *how))


choices = st.lists(st.tuples(st.integers(0, 50), st.sampled_from(STATUSES)), min_size=14, max_size=14)
setups: Any = st.fixed_dictionaries(
    {
        "command": st.sampled_from(["build", "run"]),
        "max_running": st.integers(1, 4),
        "fail_fast": st.booleans(),
        "ends_on_error": st.booleans(),
        "first_come": st.booleans(),
        "at_once": st.booleans(),
    }
)


@given(nodes=plans(), setup=setups, steps=choices)
@settings(max_examples=300, deadline=None)
def test_every_node_ends_exactly_once_and_never_starts_before_its_parents_ended(
    nodes: dict[str, NodeInfo], setup: Any, steps: list[tuple[int, tuple[NodeStatus, str]]]
) -> None:
    walk = Walk(Scheduler(nodes, **setup), nodes)
    walk.follow(walk.scheduler.start())
    for which, how in steps:
        assert len(walk.scheduler.running) <= setup["max_running"]
        if walk.scheduler.done:
            break
        walk.step(which, how)
    assert walk.scheduler.done
    assert sorted(walk.ended) == sorted(nodes)


@given(nodes=plans(), setup=setups, steps=choices, cut=st.integers(0, 13))
@settings(max_examples=300, deadline=None)
def test_a_scheduler_restored_from_its_snapshot_continues_equally(
    nodes: dict[str, NodeInfo], setup: Any, steps: list[tuple[int, tuple[NodeStatus, str]]], cut: int
) -> None:
    whole, resumed = (Walk(Scheduler(nodes, **setup), nodes) for _ in range(2))
    for walk in (whole, resumed):
        walk.follow(walk.scheduler.start())
    for position, (which, how) in enumerate(steps):
        if position == cut:
            snapshot = json.loads(json.dumps(resumed.scheduler.snapshot()))
            resumed.scheduler = Scheduler.restore(nodes, snapshot)
        if whole.scheduler.done:
            break
        whole.step(which, how)
        resumed.step(which, how)
    assert (whole.started, whole.ended) == (resumed.started, resumed.ended)
