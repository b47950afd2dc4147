"""What is said when a run has ended, dbt's exit codes, and what commands print on standard output."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from dbt_temporal.application.ports.runs import Ending, Outcome, StoredRun
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.hooks import HookError
from dbt_temporal.domain.limits import OUTPUT_LEFT_OUT
from dbt_temporal.domain.results import ArtifactPaths, DbtRunOutput, NodeExecutionResult
from dbt_temporal.entrypoints.cli.listing import print_left_out, print_listing, print_missing_code, print_output
from dbt_temporal.entrypoints.cli.progress import (
    ShownLog,
)
from dbt_temporal.entrypoints.cli.shown.failures import Commands
from dbt_temporal.entrypoints.cli.summary import exit_code_of, print_summary

SUMMARY = "Done. PASS=1 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=1"


def plain_console() -> Console:
    return Console(file=StringIO(), width=40, highlight=False)


def written(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def node(name: str, status: str, dbt_status: str | None = None, message: str | None = None) -> NodeExecutionResult:
    values = {"unique_id": f"model.shop.{name}", "status": status, "dbt_status": dbt_status or status}
    return NodeExecutionResult.model_validate({**values, "message": message})


def output(*results: NodeExecutionResult, **values: object) -> DbtRunOutput:
    given = {"invocation_id": "i", "success": True, "node_results": list(results), **values}
    return DbtRunOutput.model_validate(given)


def summary_of(outcome: Outcome, log: ShownLog | None = None, ui_link: str | None = None) -> str:
    console = plain_console()
    print_summary(console, outcome, ui_link, log or ShownLog())
    return written(console)


def failed(error_type: str | None, message: str, run_output: DbtRunOutput | None = None) -> Outcome:
    return Outcome(Ending.FAILED, run_output, error_type, message)


@pytest.mark.parametrize(
    ("outcome", "exit_code"),
    [
        (Outcome(Ending.COMPLETED, output()), 0),
        (Outcome(Ending.COMPLETED, output(skipped=True)), 0),
        (Outcome(Ending.COMPLETED, output(success=False)), 1),
        (failed(ErrorType.DBT_RUN_FAILED, "1 of 2 nodes failed", output(success=False)), 1),
        (failed(ErrorType.CONFIGURATION, "no such target"), 2),
        (failed(ErrorType.COMPILATION, "no such ref"), 2),
        (failed(ErrorType.PROJECT_NOT_FOUND, "no such project"), 2),
        (failed(None, "?"), 2),
        (Outcome(Ending.CANCELLED), 2),
        (Outcome(Ending.TERMINATED), 2),
        (Outcome(Ending.TIMED_OUT), 2),
    ],
)
def test_the_exit_codes_are_dbts(outcome: Outcome, exit_code: int) -> None:
    assert exit_code_of(outcome) == exit_code


def test_failures_and_warnings_are_told_with_their_messages_and_the_summary_line_is_last() -> None:
    results = [
        node("a", "success"),
        node("b", "error", message="Database Error\n  no such column"),
        node("c", "skipped"),
    ]
    results.append(node("w", "success", "warn", "Got 3 results"))
    text = summary_of(failed(ErrorType.DBT_RUN_FAILED, "1 of 4 nodes failed", output(*results, success=False)))
    assert "Completed with 1 error and 1 warning:" in text
    assert "Failure in model b\n  Database Error\n    no such column\n" in text
    assert "Warning in model w\n  Got 3 results\n" in text
    assert text.splitlines()[-1] == "Done. PASS=1 WARN=1 ERROR=1 SKIP=1 NO-OP=0 TOTAL=4"


def test_quietly_failures_alone_are_told() -> None:
    def quiet_summary_of(outcome: Outcome) -> str:
        console = plain_console()
        print_summary(console, outcome, "http://ui/run", ShownLog(), Commands("r"), quiet=True)
        return written(console)

    warned = node("w", "success", "warn", "Got 3 results")
    paths = ArtifactPaths(run_results_path="/store/i/run_results.json")
    assert quiet_summary_of(Outcome(Ending.COMPLETED, output(warned, artifacts=paths))) == ""
    broken = output(node("b", "error", message="no such column"), warned, success=False, artifacts=paths)
    assert quiet_summary_of(failed(ErrorType.DBT_RUN_FAILED, "1 of 2 nodes failed", broken)) == (
        "\nCompleted with 1 error and 1 warning:\n\nFailure in model b\n  no such column\n"
    )
    assert "no such target" in quiet_summary_of(failed(ErrorType.CONFIGURATION, "no such target"))


def test_the_logs_own_summary_line_is_the_one_shown() -> None:
    log = ShownLog(summary_line=SUMMARY)
    assert summary_of(Outcome(Ending.COMPLETED, output()), log).splitlines()[-1] == SUMMARY


def test_the_places_of_artifacts_and_the_ui_are_shown() -> None:
    paths = ArtifactPaths(run_results_path="s3://b/i/run_results.json", log_path="s3://b/i/log.txt")
    run_output = output(artifacts=paths, report_path="s3://b/i/report.html")
    text = summary_of(Outcome(Ending.COMPLETED, run_output), ui_link="http://ui/run")
    assert "artifacts    s3://b/i/ (run_results.json, log.txt)\n" in text
    assert "report       s3://b/i/report.html\n" in text
    assert "Temporal UI  http://ui/run\n" in text


def test_a_cancelled_run_tells_what_it_has_stored_and_how_to_go_on() -> None:
    console = plain_console()
    stored = StoredRun(ArtifactPaths(run_results_path="/store/i/run_results.json"), "/store/i/report.html")
    print_summary(
        console, Outcome(Ending.CANCELLED, message="it was cancelled"), None, ShownLog(), Commands("r"), stored
    )
    assert written(console) == (
        "\nThe run was stopped: it was cancelled\n"
        "\nartifacts  /store/i/ (run_results.json)\n"
        "report     /store/i/report.html\n"
        "retry      dbt-temporal retry r\n"
    )


def test_a_cancelled_run_tells_of_nodes_that_had_failed_by_themselves() -> None:
    results = [node("a", "success"), node("b", "error", message="no such column"), node("c", "cancelled")]
    text = summary_of(Outcome(Ending.CANCELLED, output(*results, success=False), message="it was cancelled"))
    assert text.startswith(
        "\nThe run was stopped: it was cancelled\n"
        "\nCancelled with 1 error and 0 warnings:\n\nFailure in model b\n  no such column\n"
    )
    assert "model c" not in text
    well = summary_of(
        Outcome(Ending.CANCELLED, output(node("a", "success"), success=False), message="it was cancelled")
    )
    assert "Cancelled with" not in well


def test_a_run_that_failed_beside_its_nodes_says_why() -> None:
    text = summary_of(failed(ErrorType.DBT_RUN_FAILED, "on-run-start failed", output(success=False)))
    assert "Did not succeed: on-run-start failed" in text


def test_what_the_log_has_told_is_not_told_again() -> None:
    log = ShownLog()
    log.take(["Planning failed:", "     Compilation Error", "       no such ref"])
    outcome = failed(ErrorType.COMPILATION, "Compilation Error\n  no such ref")
    assert "no such ref" not in summary_of(outcome, log)
    assert "Compilation Error\n  no such ref" in summary_of(outcome)


def test_an_error_without_a_kind_of_its_own_gets_one() -> None:
    assert "Configuration Error\n  no such target\n" in summary_of(failed(ErrorType.CONFIGURATION, "no such target"))


def test_skips_and_failed_hooks_are_told() -> None:
    error = HookError(hook_workflow_type="notify", event="on_success", error="boom")
    text = summary_of(Outcome(Ending.COMPLETED, output(skipped=True, skip_reason="nothing new", hook_errors=[error])))
    assert "Skipped: nothing new" in text
    assert "Hook notify (on_success) failed: boom" in text
    assert "Done." not in text


def test_list_prints_its_lines_and_nothing_else() -> None:
    out, err = plain_console(), plain_console()
    found = output(node("a", "success", message="shop.a"), node("b", "success", message="shop.b"))
    assert print_listing(out, err, found)
    assert written(out) == "shop.a\nshop.b\n"
    assert not written(err)


def test_an_empty_listing_is_told_on_the_other_stream() -> None:
    out, err = plain_console(), plain_console()
    print_listing(out, err, output())
    assert not written(out)
    assert "No nodes selected" in written(err)


def test_a_listing_that_is_not_whole_is_not_printed() -> None:
    out, err = plain_console(), plain_console()
    cut = output(node("a", "success", message="shop.a"), node("b", "success", message=None))
    assert not print_listing(out, err, cut)
    assert not written(out)
    assert "too large" in written(err)


def test_compiled_code_that_is_missing_is_told_on_the_other_stream() -> None:
    out, err = plain_console(), plain_console()
    print_missing_code(err, output(node("b", "success")), "b")
    assert not written(out)
    assert "compiled code of 'b' did not fit" in written(err)


@pytest.mark.parametrize(
    ("command", "is_whole", "said"),
    [("show", False, "The rows of 'a' are too large"), ("run-operation", True, "What 'a' has printed is too large")],
)
def test_rows_and_printed_text_that_did_not_fit_are_told_on_the_other_stream(
    command: str, is_whole: bool, said: str
) -> None:
    err = plain_console()
    cut = output(node("a", "success", message=OUTPUT_LEFT_OUT), node("b", "success"))
    assert print_left_out(err, command, cut) is is_whole
    assert written(err).startswith(said)
    assert "'b'" not in written(err)


def test_what_dbt_shows_of_nodes_is_printed_and_no_more() -> None:
    shown = node("b", "success").model_copy(update={"output": "Compiled node 'b' is:\nselect 1", "compiled_code": "x"})
    out = plain_console()
    print_output(out, output(node("a", "success"), shown))
    assert written(out) == "Compiled node 'b' is:\nselect 1\n\n"
