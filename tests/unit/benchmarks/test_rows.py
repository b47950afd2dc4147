"""Rows of the table of figures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.api.history.v1 import HistoryEvent

from benchmarks.__main__ import main
from benchmarks.catalogue import FIGURES, USUAL
from benchmarks.compare.compare import Measured as Compared
from benchmarks.compare.compare import OfWay
from benchmarks.figure import Row
from benchmarks.figures.cores import model
from benchmarks.figures.large import Measured, OfSize, Sizes, rows
from benchmarks.options import add_sizes, sizes_given
from benchmarks.page.tables import cells
from benchmarks.sides.histories import History
from benchmarks.sides.runs import Run, course_of


def ours(wall: float, nodes: int = 100, **parts: float) -> Run:
    """A run by a workflow."""
    shares = {"engine_cpu": 2.0, "worker_cpu": 0.4, "temporal_cpu": 0.8, "postgres_cpu": 0.8, **parts}
    return Run(wall, nodes, **shares)  # type: ignore[arg-type]


def test_a_goal_is_reached_from_its_own_side() -> None:
    assert Row("wall", "", ratio=0.3, goal=0.3).reached is True
    assert Row("wall", "", ratio=0.4, goal=0.3).reached is False
    assert Row("throughput", "", ratio=1.9, goal=1.8, at_least=True).reached is True
    assert Row("memory", "", ratio=9.9, goal=400, value=117, unit="MB").reached is True
    assert Row("wall", "", goal=0.3).reached is None
    assert Row("history", "5.8 events").reached is None


def test_a_row_says_what_its_goal_is_about() -> None:
    assert cells(Row("wall", "1 s; dbt 2 s", ratio=0.5, goal=0.3)) == [
        "wall",
        "1 s; dbt 2 s",
        "0.50",
        "at most 0.30",
        "no",
    ]
    row = Row("events", "9", goal=20_000, value=9, unit="events")
    assert cells(row) == ["events", "9", "", "at most 20,000 events", "yes"]


def test_more_cores_scale_what_nodes_take_and_leave_what_a_run_takes_once() -> None:
    # 4 s of CPU on two lanes bound the nodes' 3 s; on eight cores the four threads do.
    modelled = model([ours(4.0, fixed=1.0)], [Run(5.0, 100, cli_cpu=4.5)], 100, threads=4, cores=2, more_cores=8)
    assert modelled is not None
    assert modelled.wall == pytest.approx(1.0 + 3.0 / 2)
    assert modelled.cli_wall == 4.5


def test_more_cores_do_not_help_a_worker_that_is_busy_with_one() -> None:
    busy = ours(4.0, fixed=0.0, worker_cpu=3.9)
    modelled = model([busy], [Run(5.0, 100, cli_cpu=6.0)], 100, threads=64, cores=2, more_cores=64)
    assert modelled is not None
    assert modelled.wall == pytest.approx(4.0 * 3.9 / 3.9, rel=0.05)
    assert modelled.cli_wall == 5.0


def test_without_nodes_there_is_no_model() -> None:
    assert model([ours(4.0)], [Run(5.0, 100)], 100, threads=4, cores=2, more_cores=8) is None


def test_the_growth_of_a_nodes_time_is_that_of_the_largest_run_to_the_smallest() -> None:
    measured = Measured([OfSize(100, ours(4.0), Run(5.0, 100)), OfSize(200, ours(10.0, 200), Run(20.0, 200))])
    first = rows(Sizes(), measured)[0]
    assert first.figure == "time of a node at 200 nodes to 100"
    assert first.ratio == pytest.approx(1.25)


def test_a_size_that_failed_is_told_and_counts_as_not_reached() -> None:
    measured = Measured(
        [OfSize(100, ours(4.0), Run(5.0, 100)), OfSize(200, None, Run(20.0, 200), "the run failed: full")]
    )
    (row,) = rows(Sizes(), measured)
    assert "the run failed: full" in row.measured
    assert row.reached is None


def test_attempts_starts_timers_and_search_attributes_are_actions_and_memos_are_none() -> None:
    history = History()
    events = [
        HistoryEvent(event_id=number, **{f"{name}_event_attributes": fields})  # type: ignore[arg-type]
        for number, (name, fields) in enumerate(
            [
                ("workflow_execution_started", {}),
                ("upsert_workflow_search_attributes", {}),
                ("workflow_properties_modified", {}),
                ("activity_task_scheduled", {"activity_type": {"name": "model:a"}}),
                ("activity_task_started", {"attempt": 2}),
                ("activity_task_completed", {"scheduled_event_id": 3}),
                ("timer_started", {}),
                ("activity_task_scheduled", {"activity_type": {"name": "store_artifacts"}}),
                ("activity_task_started", {"attempt": 1}),
                ("activity_task_completed", {"scheduled_event_id": 7}),
            ]
        )
    ]
    for number, event in enumerate(events):
        event.event_time.FromMilliseconds(1000 * number)
    scheduled: dict[int, tuple[str, float]] = {}
    for event in events:
        history.take(event, scheduled)
    assert history.actions == 1 + 1 + 2 + 1 + 1
    assert (history.nodes_began, history.nodes_ended) == (3.0, 5.0)
    assert history.steps == {"store_artifacts": 2.0}


def test_the_course_of_runs_has_each_step_their_nodes_and_the_rest() -> None:
    runs = [replace(ours(4.0, fixed=1.0), steps={"plan_project": 0.25, "store_artifacts": 0.5})]
    ((_, cells),) = course_of(runs)
    assert [cells[number][1:] for number in range(1, 5)] == [
        ["0.25", "6%"], ["0.50", "12%"], ["3.00", "75%"], ["0.25", "6%"],
    ]  # fmt: skip
    assert list(course_of([Run(4.0, 100)])) == []


@pytest.mark.parametrize("figure", FIGURES.values(), ids=lambda figure: figure.name)
def test_each_size_of_a_figure_is_an_option(figure: object) -> None:
    parser = argparse.ArgumentParser()
    sizes = FIGURES[getattr(figure, "name")].sizes  # noqa: B009
    add_sizes(parser, sizes)
    assert sizes_given(parser.parse_args([]), sizes) == sizes


def test_options_replace_sizes_and_refuse_what_is_none() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    sizes = FIGURES["large"].sizes
    add_sizes(parser, sizes)
    assert sizes_given(parser.parse_args(["--nodes", "5", "10"]), sizes).nodes == (5, 10)
    for words in (["--nodes", "0"], ["--threads", "many"], ["--database", "oracle"]):
        with pytest.raises(argparse.ArgumentError):
            parser.parse_args(words)


def test_a_table_of_nothing_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--results", str(tmp_path)]) == 2
    assert "nothing was measured yet" in capsys.readouterr().err


def test_a_file_that_is_no_result_names_the_figure_to_measure_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ready.json").write_text('{"sizes": {}}')
    assert main(["table", "--results", str(tmp_path)]) == 2
    assert "measure ready again" in capsys.readouterr().err


def test_other_ways_stand_beside_the_cli_and_those_that_failed_say_why() -> None:
    ways = [OfWay("dbt CLI", [4.0], [5.0]), OfWay("v2", [1.0], [1.0]), OfWay("cosmos", failure="does not install here")]
    sizes = FIGURES["compare"].sizes
    v2, cosmos = FIGURES["compare"].rows(sizes, Compared(ways))
    assert (v2.ratio, v2.measured) == (0.25, "1.0 s; dbt 4.0 s")
    assert (cosmos.ratio, cosmos.measured) == (None, "does not install here")


def test_what_needs_a_package_index_is_measured_only_where_it_is_named() -> None:
    assert [name for name, figure in FIGURES.items() if figure not in USUAL] == ["compare"]
