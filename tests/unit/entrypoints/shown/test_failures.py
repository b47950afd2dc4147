"""What the end of a run says of each failure: where it is, and what to do next."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.failed_nodes import CodeLine, FailedNode
from dbt_temporal.domain.results import ArtifactPaths, DbtRunOutput, NodeExecutionResult
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.entrypoints.cli.progress import ShownLog
from dbt_temporal.entrypoints.cli.shown.failures import MAX_SHOWN, MAX_WHOLE, Commands
from dbt_temporal.entrypoints.cli.submit import Submission
from dbt_temporal.entrypoints.cli.summary import print_summary

STORED = ArtifactPaths(run_results_path="/store/i/run_results.json")


def model(name: str, message: str | None = "Database Error\n  it is broken") -> NodeExecutionResult:
    return NodeExecutionResult(unique_id=f"model.shop.{name}", status="error", dbt_status="error", message=message)


def a_test(name: str) -> NodeExecutionResult:
    return NodeExecutionResult(
        unique_id=f"test.shop.{name}", status="error", dbt_status="fail", message="Got 3 results", failures=3
    )


def said(
    *results: NodeExecutionResult,
    known: list[FailedNode] | None = None,
    commands: Commands | None = None,
    artifacts: ArtifactPaths | None = STORED,
) -> str:
    output = DbtRunOutput(
        invocation_id="i", success=False, node_results=list(results), artifacts=artifacts, failed_nodes=known
    )
    console = Console(file=StringIO(), width=40, highlight=False)
    outcome = Outcome(Ending.FAILED, output, ErrorType.DBT_RUN_FAILED, "failed")
    print_summary(console, outcome, None, ShownLog(), commands)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_stale_source_is_told_with_its_age() -> None:
    facts = {
        "status": "error",
        "max_loaded_at_time_ago_in_s": 90000,
        "criteria": {"error_after": {"count": 1, "period": "day"}},
    }
    stale = {"unique_id": "source.shop.raw.orders", "status": "error", "dbt_status": "error", "freshness": facts}
    text = said(NodeExecutionResult.model_validate(stale))
    assert "Failure in source raw.orders\n  1d 01h old, more than 1 day\n" in text


def test_a_failed_model_is_told_with_its_file_its_sql_the_named_line_and_its_log() -> None:
    lines = [CodeLine(number=9, text="select"), CodeLine(number=10, text="  totl", is_named=True)]
    known = FailedNode(
        unique_id="model.shop.a", name="a", path="models/a.sql", code_path="/store/i/compiled/a.sql", lines=lines
    )
    text = said(model("a"), known=[known], commands=Commands("run-1"))
    assert (
        "Failure in model a\n"
        "  Database Error\n"
        "    it is broken\n"
        "     9 | select\n"
        "  > 10 |   totl\n"
        "  file          models/a.sql\n"
        "  compiled SQL  /store/i/compiled/a.sql\n"
        "  log           dbt-temporal logs run-1 a\n"
    ) in text


def test_a_file_that_the_message_names_is_not_told_again() -> None:
    known = FailedNode(unique_id="model.shop.a", name="a", path="models/a.sql")
    assert "file  " not in said(model("a", "Runtime Error in model a (models/a.sql)"), known=[known])


def test_of_a_failed_test_the_query_and_the_command_for_its_rows_are_told() -> None:
    known = FailedNode(unique_id="test.shop.t", name="t", path="tests/t.sql", found_rows=True, query="select *\nfrom x")
    text = said(a_test("t"), known=[known], commands=Commands("r", can_show=True, project="shop", target="prod"))
    assert "  query         select *\n                from x\n" in text
    assert "  failing rows  dbt-temporal show --select t --project shop --target prod\n" in text


def test_rows_that_a_test_has_stored_are_looked_at_where_they_are() -> None:
    known = FailedNode(unique_id="test.shop.t", name="t", found_rows=True, stored_failures='"db"."audit"."t"')
    text = said(a_test("t"), known=[known], commands=Commands("r", can_show=True))
    assert '  failing rows  select * from "db"."audit"."t"\n' in text
    assert "dbt-temporal show" not in text


def test_a_command_that_would_not_find_the_same_rows_is_not_offered() -> None:
    known = FailedNode(unique_id="test.shop.t", name="t", found_rows=True)
    assert "show" not in said(a_test("t"), known=[known], commands=Commands("r"))


def test_the_retry_command_is_ready_to_copy_with_what_was_given_to_reach_the_server() -> None:
    commands = Commands("my run", ["--address", "there:7233"], project="shop")
    text = said(model("a"), commands=commands)
    assert "retry      dbt-temporal retry 'my run' --project shop --address there:7233\n" in text


def test_a_run_without_artifacts_offers_no_retry() -> None:
    assert "retry" not in said(model("a"), commands=Commands("r"), artifacts=None)


def test_later_failures_are_told_shortly_and_many_are_counted() -> None:
    text = said(*(model(f"m{n}") for n in range(MAX_SHOWN + 3)), commands=Commands("r"))
    assert f"Failure in model m{MAX_WHOLE - 1}\n  Database Error\n    it is broken\n" in text
    assert f"Failure in model m{MAX_WHOLE}\n  Database Error it is broken\n" in text
    assert f"model m{MAX_SHOWN}\n" not in text
    assert "and 3 more: dbt-temporal results r\n" in text


def test_a_long_message_is_cut() -> None:
    text = said(model("a", "\n".join(f"line {n}" for n in range(40))))
    assert "line 11\n" in text
    assert "line 12\n" not in text
    assert "... and 28 more lines" in text


def test_a_run_with_variables_of_its_own_offers_no_show() -> None:
    def commands(**values: object) -> Commands:
        return Submission(parse_run_input(values), "w", True, 60).commands(["--address", "a:1"])

    assert commands(target="prod") == Commands("w", ["--address", "a:1"], target="prod", can_show=True)
    assert not commands(vars={"a": 1}).can_show
    assert not commands(env={"A": "1"}).can_show
