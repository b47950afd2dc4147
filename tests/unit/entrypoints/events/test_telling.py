"""How a run is told of by events: formats, levels, and the end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from dbt_common.events.base_types import msg_from_base_event
from dbt_common.events.functions import msg_to_dict
from dbt_common.events.types import Note
from rich.console import Console

from dbt_temporal.application.ports.runs import Ending, Outcome, Snapshot
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.limits import OUTPUT_LEFT_OUT
from dbt_temporal.domain.log.said import SaidEvent
from dbt_temporal.domain.results import ArtifactPaths, DbtRunOutput
from dbt_temporal.entrypoints.cli.events.event import Event, EventWriter, Showing
from dbt_temporal.entrypoints.cli.events.view import EventView, QuietView, view_of
from dbt_temporal.entrypoints.cli.progress import LiveProgress, PlainProgress, ProgressView
from dbt_temporal.entrypoints.cli.shown.failures import Commands
from dbt_temporal.testing import result

JSON = Showing("json")
EARLY = datetime(2026, 1, 31, 6, 0, 10, 125000, tzinfo=UTC)
SUMMARY = "Done. PASS=1 WARN=1 ERROR=1 SKIP=0 NO-OP=0 TOTAL=3"


def console(*, terminal: bool = False) -> Console:
    return Console(file=StringIO(), width=100, highlight=False, force_terminal=terminal, color_system=None)


def written(place: Console) -> str:
    assert isinstance(place.file, StringIO)
    return place.file.getvalue()


def view_on(place: Console, showing: Showing, **environ: str) -> EventView:
    return EventView(EventWriter(place, showing, "the-invocation", lambda: EARLY, environ))


def lines_of(place: Console) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(place).splitlines()]


def outcome() -> Outcome:
    results = [
        result("a"),
        result("b", "error", message="Database Error\n  no such column"),
        result("test.shop.t", "warn", failures=2, message="Got 2 results"),
    ]
    paths = ArtifactPaths(run_results_path="/store/i/run_results.json", log_path="/store/i/log.txt")
    output = DbtRunOutput(invocation_id="i", success=False, node_results=results, artifacts=paths)
    return Outcome(Ending.FAILED, output, ErrorType.DBT_RUN_FAILED, "1 of 3 nodes failed")


def ended(showing: Showing) -> Console:
    place = console()
    view = view_on(place, showing)
    view.log.take([SUMMARY])
    view.ended(outcome(), "http://ui/run", Commands("nightly"), None)
    return place


@pytest.mark.parametrize(
    ("flags", "showing"),
    [
        ({}, Showing()),
        ({"log_format": "json"}, JSON),
        ({"quiet": True}, Showing(level="error")),
        ({"quiet": True, "debug": True, "log_level": "warn"}, Showing(level="error")),
        ({"debug": True, "log_level": "warn"}, Showing(level="debug")),
        ({"log_level": "none", "quiet": True}, Showing(level="none")),
    ],
)
def test_flags_about_the_level_win_over_each_other_as_with_dbt(flags: dict[str, Any], showing: Showing) -> None:
    assert Showing.of(flags) == showing


@pytest.mark.parametrize(
    ("showing", "kind"),
    [
        (Showing(), LiveProgress),
        (Showing(level="error"), QuietView),
        (Showing(level="none"), EventView),
        (Showing(level="warn"), EventView),
        (Showing(level="debug"), EventView),
        (Showing("text"), EventView),
        (JSON, EventView),
    ],
)
def test_a_terminal_has_the_live_view_unless_something_else_is_asked_for(showing: Showing, kind: type) -> None:
    assert isinstance(view_of(showing, console(terminal=True), console()), kind)
    if showing == Showing():
        assert isinstance(view_of(showing, console(), console()), PlainProgress)


def test_a_json_line_has_what_dbts_has() -> None:
    place = console()
    view = view_on(place, JSON, DBT_ENV_CUSTOM_ENV_TEAM="core", OTHER="x")
    view.submitted("nightly")
    view.show(Snapshot(new_log_lines=["1 of 1 START table_model dev.[b]a"], new_numbered=["model.shop.a"]))
    view.away("Temporal does not answer")
    view.away(None)
    submitted, started, away = lines_of(place)
    assert set(submitted) == set(started) == {"info", "data"}
    assert started["info"] | {"pid": 1} == {
        "category": "",
        "code": "Q011",
        "extra": {"TEAM": "core"},
        "invocation_id": "the-invocation",
        "level": "info",
        "msg": "1 of 1 START table_model dev.[b]a",
        "name": "LogStartLine",
        "pid": 1,
        "thread": "MainThread",
        "ts": "2026-01-31T06:00:10.125000Z",
    }
    assert started["data"]["node_info"]["unique_id"] == "model.shop.a"
    assert submitted["data"]["workflow_id"] == "nightly"
    assert (away["info"]["level"], away["info"]["msg"]) == ("warn", "Temporal does not answer")


def test_the_keys_of_a_json_line_are_those_of_dbts() -> None:
    place = console()
    view_on(place, JSON).note("hello")
    (ours,) = lines_of(place)
    dbts = msg_to_dict(msg_from_base_event(Note(msg="hello")))
    assert {key: set(value) for key, value in ours.items()} == {key: set(value) for key, value in dbts.items()}
    same = ("category", "code", "extra", "msg", "name", "pid", "thread")
    assert {key: ours["info"][key] for key in same} == {key: dbts["info"][key] for key in same}


def test_text_has_the_time_before_each_event_and_debug_its_level_as_well() -> None:
    lines = ["Found 1 model", "  => table_model dev.a  [ERROR in 1.00s]", "     no such column"]
    told = {}
    for name in ("text", "debug"):
        place = console()
        view_on(place, Showing(name)).show(Snapshot(new_log_lines=lines))
        told[name] = written(place).splitlines()
    assert told["text"] == [f"06:00:10  {lines[0]}", f"06:00:10  {lines[1]}", lines[2]]
    assert told["debug"] == [
        f"06:00:10.125000 [info ] [MainThread]: {lines[0]}",
        f"06:00:10.125000 [error] [MainThread]: {lines[1]}",
        lines[2],
    ]


def test_what_is_below_the_level_is_left_out() -> None:
    lines = ["Found 1 model", "  => test shop.t  [WARN 2 in 1.00s]", "  => test shop.u  [FAIL 2 in 1.00s]"]
    told = {}
    for level in ("debug", "info", "warn", "error", "none"):
        place = console()
        view = view_on(place, Showing("json", level))
        view.show(Snapshot(phase="executing", new_log_lines=lines))
        told[level] = [line["info"]["level"] for line in lines_of(place)]
    assert told == {
        "debug": ["info", "warn", "error", "debug"],
        "info": ["info", "warn", "error"],
        "warn": ["warn", "error"],
        "error": ["error"],
        "none": [],
    }


def test_at_level_warn_lines_are_as_the_log_has_them() -> None:
    place = console()
    view = view_on(place, Showing(level="warn"))
    view.show(Snapshot(new_log_lines=["Found 1 model", "  => test shop.t  [WARN 2 in 1.00s]"]))
    assert written(place) == "  => test shop.t  [WARN 2 in 1.00s]\n"


def test_the_end_tells_what_it_came_to_what_failed_where_to_look_and_dbts_summary_last() -> None:
    lines = lines_of(ended(JSON))
    names = [line["info"]["name"] for line in lines]
    assert names[:3] == ["EndOfRunSummary", "RunResultError", "RunResultWarning"]
    assert names[-1] == "StatsLine"
    assert lines[0]["info"]["msg"] == "Completed with 1 error and 1 warning:"
    assert lines[1]["data"]["node_info"] == {
        "unique_id": "model.shop.b",
        "node_name": "b",
        "resource_type": "model",
        "materialized": "",
        "node_status": "error",
    }
    assert lines[1]["info"]["msg"] == "Failure in model b\n  Database Error\n    no such column"
    assert lines[1]["data"]["msg"] == "Database Error\n  no such column"
    places = {key: value for line in lines if line["info"]["name"] == "Note" for key, value in line["data"].items()}
    assert places["artifacts"] == "/store/i/ (run_results.json, log.txt)"
    assert places["Temporal_UI"] == "http://ui/run"
    assert places["retry"] == "dbt-temporal retry nightly"
    assert lines[-1]["data"]["stats"]["error"] == 1


def test_at_level_debug_each_node_tells_its_result() -> None:
    told = [line for line in lines_of(ended(Showing("json", "debug"))) if line["info"]["name"] == "NodeFinished"]
    assert [line["data"]["node_info"]["unique_id"] for line in told] == ["model.shop.a", "model.shop.b", "test.shop.t"]
    assert told[1]["data"]["run_result"]["message"] == "Database Error\n  no such column"


@pytest.mark.parametrize(
    ("level", "names"),
    [("error", ["EndOfRunSummary", "RunResultError"]), ("none", [])],
)
def test_of_the_end_too_what_is_below_the_level_is_left_out(level: str, names: list[str]) -> None:
    lines = lines_of(ended(Showing("json", level)))  # type: ignore[arg-type]
    assert [line["info"]["name"] for line in lines] == names


def test_a_run_that_could_not_begin_tells_why_once() -> None:
    failed = Outcome(Ending.FAILED, None, ErrorType.CONFIGURATION, "no such target")
    for shown, expected in (([], ["MainEncounteredError"]), (["Planning failed:", "     no such target"], [])):
        place = console()
        view = view_on(place, JSON)
        view.log.take(shown)
        view.ended(failed, None, None, None)
        assert [line["info"]["name"] for line in lines_of(place)] == expected


@pytest.mark.parametrize(
    ("command", "facts", "name", "msg"),
    [
        ("list", {"message": "shop.a"}, "PrintEvent", "shop.a"),
        ("show", {"output": "| 1 |"}, "ShowNode", "| 1 |"),
        ("compile", {"output": "select 1", "compiled_code": "select 1"}, "CompiledNode", "select 1"),
        ("run-operation", {"output": "hello"}, "PrintEvent", "hello"),
    ],
)
def test_what_a_command_is_for_is_told_at_every_level_but_none(
    command: str, facts: dict[str, Any], name: str, msg: str
) -> None:
    output = DbtRunOutput(invocation_id="i", success=True, node_results=[result("a", **facts)])
    for level, count in (("info", 1), ("error", 1), ("none", 0)):
        out, err = console(), console()
        view: ProgressView = view_of(Showing("json", level), out, err, for_pipes=True)  # type: ignore[arg-type]
        assert isinstance(view, EventView)
        view.show(Snapshot(new_log_lines=["shop.a"]))
        assert view.results(command, Outcome(Ending.COMPLETED, output))
        lines = lines_of(out)
        assert [(line["info"]["name"], line["info"]["msg"]) for line in lines] == [(name, msg)] * count
        assert written(err) == ""


def test_a_listing_that_is_not_whole_is_an_error_and_not_told() -> None:
    results = [result("a", message="shop.a"), result("b")]
    output = DbtRunOutput(invocation_id="i", success=True, node_results=results)
    place = console()
    assert not view_on(place, JSON).results("list", Outcome(Ending.COMPLETED, output))
    (line,) = lines_of(place)
    assert (line["info"]["level"], "too large" in line["info"]["msg"]) == ("error", True)


def test_rows_that_did_not_fit_are_an_error() -> None:
    output = DbtRunOutput(invocation_id="i", success=True, node_results=[result("a", message=OUTPUT_LEFT_OUT)])
    place = console()
    assert not view_on(place, JSON).results("show", Outcome(Ending.COMPLETED, output))
    (line,) = lines_of(place)
    assert (line["info"]["level"], "too large" in line["info"]["msg"]) == ("error", True)


def printed_and_warned() -> Snapshot:
    lines = ["printed", "twice", "warned", "  => table_model dev.a  [OK in 1.00s]"]
    said = [
        SaidEvent(line=0, lines=2, name="PrintEvent", code="Z052", level="info"),
        SaidEvent(line=2, name="JinjaLogWarning", code="I061", level="warn"),
    ]
    return Snapshot(new_log_lines=lines, new_said=said)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("info", ["printed\ntwice", "warned", "  => table_model dev.a  [OK in 1.00s]"]),
        ("warn", ["printed\ntwice", "warned"]),
        ("error", ["printed\ntwice"]),
        ("none", []),
    ],
)
def test_warnings_are_told_from_level_warn_on_and_what_is_printed_at_each_but_none(level: Any, told: list[str]) -> None:
    place = console()
    view_on(place, Showing("json", level)).show(printed_and_warned())
    assert [line["info"]["msg"] for line in lines_of(place)] == told


def test_what_a_project_says_has_dbts_name_and_code_in_json() -> None:
    place = console()
    view_on(place, JSON).show(printed_and_warned())
    facts = [(line["info"]["name"], line["info"]["code"], line["info"]["level"]) for line in lines_of(place)]
    assert facts[:2] == [("PrintEvent", "Z052", "info"), ("JinjaLogWarning", "I061", "warn")]


def test_of_a_quiet_run_what_macros_print_is_on_standard_output_and_nothing_else() -> None:
    out, err = console(), console()
    view = view_of(Showing(level="error"), out, err)
    assert view.wants_events
    view.show(printed_and_warned())
    assert (written(out), written(err)) == ("printed\ntwice\n", "")


def test_a_quiet_command_for_a_pipe_has_its_result_alone() -> None:
    out = console()
    view_of(Showing(level="error"), out, console(), for_pipes=True).show(printed_and_warned())
    assert written(out) == ""


def test_warnings_for_a_person_stand_beside_the_result_for_a_pipe() -> None:
    out, err = console(), console()
    view_of(Showing(), out, err, for_pipes=True).show(printed_and_warned())
    assert (written(out), written(err)) == ("", "warned\n")


def test_events_for_a_pipe_have_warnings_and_no_other_line_of_the_log() -> None:
    out, err = console(), console()
    view_of(Showing("text"), out, err, for_pipes=True).show(printed_and_warned())
    assert written(out) == ""
    assert [line.split("  ", 1)[1] for line in written(err).splitlines()] == ["warned"]


def test_text_for_a_pipe_has_the_result_alone_on_standard_output() -> None:
    out, err = console(), console()
    output = DbtRunOutput(invocation_id="i", success=True, node_results=[result("a", output="| 1 |")])
    view = view_of(Showing("text"), out, err, for_pipes=True)
    assert isinstance(view, EventView)
    view.note("No worker polls")
    view.results("show", Outcome(Ending.COMPLETED, output))
    assert written(out) == "| 1 |\n"
    assert "No worker polls" in written(err)


def test_an_event_of_each_name_can_be_written() -> None:
    place = console()
    EventWriter(place, Showing("debug")).write(Event("PrintEvent", "info", "hello", {"msg": "hello"}))
    assert written(place).endswith("[info ] [MainThread]: hello\n")
