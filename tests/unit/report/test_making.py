"""What a report says of the times and waits of nodes."""

import pytest

from dbt_temporal.domain.report.comparison import LastRuns, RunSummary, compared, summary_of
from dbt_temporal.domain.report.making import MAX_FAILURES, critical_path, failed_above, slowest, worth_code
from dbt_temporal.domain.results import TimingEntry
from dbt_temporal.domain.times import NodeTimes
from dbt_temporal.testing import model_id, result
from dbt_temporal.testing.builders import STARTED_AT
from tests.unit.report.runs import facts_of, graph_of, nodes_of, ran


def test_a_node_is_ready_when_its_last_parent_has_ended_and_waits_for_a_thread_from_then_on() -> None:
    nodes = nodes_of(ran("a", 2, 5), ran("b", 5, 7), ran("c", 5, 9), ran("d", 12, 13))
    assert (nodes["d"].ready, nodes["d"].last_parent, nodes["d"].thread_wait) == (9, model_id("c"), 3)
    assert (nodes["b"].ready, nodes["b"].last_parent, nodes["b"].thread_wait) == (5, model_id("a"), 0)


def test_nodes_that_wait_for_none_are_ready_when_the_first_node_starts() -> None:
    graph = graph_of(a=(), b=())
    nodes = nodes_of(ran("a", 4, 5), ran("b", 5, 7), graph=graph, executing_since=1.0)
    assert (nodes["a"].thread_wait, nodes["b"].thread_wait) == (0, 1)


def test_on_run_start_is_shown_by_what_dbt_measured_and_waits_for_no_thread() -> None:
    second = "2026-01-01T00:00:0{}+00:00".format
    hook = result(
        "operation.shop.shop-on-run-start-0",
        timing=[TimingEntry(name="execute", started_at=second(2), completed_at=second(3))],
    )
    nodes = nodes_of(hook, ran("a", 4, 5))
    shown = nodes["shop-on-run-start-0"]
    assert (shown.facts.kind, shown.started, shown.ended, shown.thread_wait) == ("hook", 2, 3, 0)


def test_a_phase_that_another_clock_has_measured_stays_within_its_attempt() -> None:
    entry = TimingEntry(name="compile", started_at="2026-01-01T00:00:01Z", completed_at="2026-01-01T00:10:00Z")
    nodes = nodes_of(ran("a", 4, 6, timing=[entry]))
    assert nodes["a"].phases == [("compile", 4, 6)]
    assert nodes["a"].worker_wait == 0


def test_the_time_until_dbt_begins_is_a_wait_for_a_worker() -> None:
    entry = TimingEntry(name="compile", started_at="2026-01-01T00:00:06Z", completed_at="2026-01-01T00:00:07Z")
    times = NodeTimes(started=2, ended=9, last=5)
    nodes = nodes_of(ran("a", 2, 9, timing=[entry], times=times, attempts=2))
    assert (nodes["a"].attempt_began, nodes["a"].worker_wait, nodes["a"].span) == (5, 1, 7)


def test_a_node_that_never_ran_has_no_times_and_comes_last() -> None:
    nodes = nodes_of(result("b", "skipped", attempts=0), ran("a", 1, 2, "error"))
    assert list(nodes) == ["a", "b"]
    assert (nodes["b"].started, nodes["b"].span, nodes["b"].thread_wait) == (None, 0, 0)
    by_id = {node.unique_id: node for node in nodes.values()}
    assert failed_above(nodes["b"], by_id) == model_id("a")


def test_the_critical_path_is_the_chain_that_had_threads_for_longest_and_no_waits_count() -> None:
    nodes = nodes_of(ran("a", 1, 3), ran("b", 3, 4), ran("c", 9, 14), ran("d", 15, 16))
    path = critical_path(nodes.values())
    assert [node.facts.name for node in path.nodes] == ["a", "c", "d"]
    assert path.seconds == pytest.approx(8)


def test_a_run_of_which_nothing_ran_has_no_critical_path() -> None:
    assert critical_path(nodes_of(result("a", "skipped")).values()).nodes == []


def test_a_graph_that_is_not_known_costs_names_and_edges_alone() -> None:
    nodes = nodes_of(ran("a", 2, 5), ran("b", 6, 7), graph=graph_of(x=()))
    assert (nodes["b"].facts.kind, nodes["b"].ready, nodes["b"].last_parent) == ("model", 2, None)


def test_code_is_wanted_of_what_failed_and_of_the_slowest() -> None:
    results = [ran(f"m{i}", 0, i) for i in range(1, 30)]
    results += [ran("bad", 0, 0.01, "error"), result("never", "skipped")]
    wanted = worth_code(results, facts_of(), STARTED_AT)
    assert wanted[0] == model_id("bad")
    assert set(wanted[1:]) == {model_id(f"m{i}") for i in range(20, 30)}


def test_code_is_wanted_of_all_that_are_shown_as_slowest_cancelled_ones_among_them() -> None:
    results = [ran(f"bad{i}", 0, 0.01, "error") for i in range(MAX_FAILURES)]
    results += [ran("fast", 0, 1), ran("stopped", 0, 9, "cancelled").model_copy(update={"execution_time": 0.0})]
    shown = [node.unique_id for node in slowest(nodes_of(*results).values())]
    assert shown[:2] == [model_id("stopped"), model_id("fast")]
    assert set(shown) <= set(worth_code(results, facts_of(), STARTED_AT))


def summary(invocation_id: str = "before", elapsed: float = 30.0, **nodes: tuple[str, float]) -> RunSummary:
    named = {model_id(name): outcome for name, outcome in nodes.items()}
    return RunSummary(invocation_id=invocation_id, ended_at="2025-12-31T00:00:00+00:00", elapsed=elapsed, nodes=named)


def test_a_run_is_compared_node_by_node_with_the_one_before() -> None:
    nodes = list(nodes_of(ran("a", 0, 4), ran("b", 4, 5, "error"), ran("c", 4, 4.05), ran("d", 5, 6)).values())
    before = summary(a=("success", 1.0), b=("success", 1.0), c=("success", 0.01), gone=("success", 9.0))
    told = compared(nodes, before)
    assert [(change.node.facts.name, change.difference) for change in told.changes] == [("a", 3.0)]
    assert [node.facts.name for node in told.newly_failed] == ["b"]
    assert (told.common, told.added, told.gone, told.elapsed) == (2, 1, 1, None)


def test_how_long_the_run_before_took_counts_only_where_it_had_the_same_nodes() -> None:
    nodes = list(nodes_of(ran("a", 0, 4), ran("b", 4, 5)).values())
    told = compared(nodes, summary(a=("success", 1.0), b=("error", 1.0)))
    assert told.elapsed == 30.0
    assert [node.facts.name for node in told.mended] == ["b"]


def test_a_run_is_not_compared_with_itself_when_its_report_is_made_twice() -> None:
    runs = LastRuns().and_then(summary("one")).and_then(summary("two")).and_then(summary("two"))
    assert [run.invocation_id for run in runs.runs] == ["two", "one"]
    assert (before := runs.before("two")) is not None
    assert before.invocation_id == "one"


def test_the_summary_has_what_ran() -> None:
    nodes = list(nodes_of(ran("a", 0, 4), result("b", "skipped")).values())
    assert summary_of(nodes, "i", "t", 4.0).nodes == {model_id("a"): ("success", 4.0)}
