"""docs/running-and-following.md says what the command line does: its samples are what the code prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO

import click
from rich.console import Console

from dbt_temporal.application.ports.runs import RUN_STATUSES, Ending, Outcome
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.failed_nodes import CodeLine, FailedNode
from dbt_temporal.domain.log.run_log import RunLog
from dbt_temporal.domain.results import ArtifactPaths, DbtRunOutput
from dbt_temporal.domain.run.turns import SkippedNode
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.cli.progress import ShownLog
from dbt_temporal.entrypoints.cli.shown.failures import Commands
from dbt_temporal.entrypoints.cli.summary import print_summary
from dbt_temporal.testing import node, result
from tests.unit.repository.doc_pages import Page

PAGE = Page("docs/running-and-following.md")
FOLDER = "/data/dbt-artifacts/0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a11"
MODEL, TEST = "model.shop.orders", "test.shop.payments_are_positive"


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All that are not hidden, by the words that call them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        elif not command.hidden:
            yield f"{before}{name}", command


COMMANDS = dict(commands(cli))


def test_every_command_stands_in_the_table_of_all_commands() -> None:
    table = PAGE.text.partition("## All commands")[2]
    code = [words.removeprefix("dbt-temporal ") for words in re.findall(r"`([^`]+)`", table)]
    named = {word for words in code for word in words.split()}
    in_two_words = {"source-freshness", "docs-generate"}
    assert {name for name in COMMANDS if " " not in name} - in_two_words - named == set()
    assert {"source freshness", "docs generate", "docs serve [ID]"} <= set(code)
    assert {name.removeprefix("schedule ") for name in COMMANDS if name.startswith("schedule ")} <= named


def test_every_flag_is_one_of_some_command() -> None:
    known = {
        name
        for command in COMMANDS.values()
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.text)) - {"--help"}
    assert named
    assert named - known == set()


def test_the_statuses_of_runs_are_all_named() -> None:
    assert [status for status in RUN_STATUSES if f"`{status}`" not in PAGE.text] == []


def test_the_log_is_what_a_run_writes() -> None:
    log, orders = RunLog(), node("orders", relation="dev.orders")
    test = node("test.shop.orders_are_paid", "orders")
    log.planned({"model": 2, "test": 1}, total=3, levels=3, threads=4, target="dev")
    log.started(orders)
    log.retried(orders, 1, 3, "Adapter: connection lost")
    log.ended(orders, result("orders", execution_time=4.2))
    log.started(test)
    message = "Got 3 results, configured to fail if != 0"
    log.ended(test, result(test.unique_id, "fail", execution_time=0.11, failures=3, message=message))
    daily_sales = node("daily_sales", "orders", relation="dev.daily_sales")
    log.skipped(daily_sales, SkippedNode(daily_sales.unique_id, f"{test.unique_id} failed", test.unique_id))
    assert PAGE.blocks("text", "log") == [log.text()]


def test_the_end_of_a_failed_run_is_what_the_command_line_prints() -> None:
    message = (
        "Database Error in model orders (models/marts/orders.sql)\n"
        '  column "totl" does not exist\n  LINE 14:   totl,\n             ^'
    )
    code = {10: "select", 11: "  order_id,", 12: "  totl,", 13: "  ordered_at"}
    output = DbtRunOutput(
        invocation_id="i",
        success=False,
        node_results=[
            result(MODEL, "error", message=message),
            result(TEST, "fail", failures=3, message="Got 3 results, configured to fail if != 0"),
        ],
        artifacts=ArtifactPaths(
            run_results_path=f"{FOLDER}/run_results.json",
            manifest_path=f"{FOLDER}/manifest.json",
            log_path=f"{FOLDER}/log.txt",
            sql_path=f"{FOLDER}/sql.zip",
        ),
        report_path=f"{FOLDER}/report.html",
        failed_nodes=[
            FailedNode(
                unique_id=MODEL,
                name="orders",
                path="models/marts/orders.sql",
                code_path=f"{FOLDER}/compiled/{MODEL}.sql",
                lines=[CodeLine(number=n, text=text, is_named=n == 12) for n, text in code.items()],
            ),
            FailedNode(
                unique_id=TEST,
                name="payments_are_positive",
                path="tests/payments_are_positive.sql",
                code_path=f"{FOLDER}/compiled/{TEST}.sql",
                found_rows=True,
                query='select * from "shop"."dev"."payments" where amount <= 0',
            ),
        ],
    )
    outcome = Outcome(Ending.FAILED, output, ErrorType.DBT_RUN_FAILED, "2 of 49 nodes failed")
    log = ShownLog(summary_line="Done. PASS=41 WARN=0 ERROR=2 SKIP=6 NO-OP=0 TOTAL=49")
    ui = "http://127.0.0.1:8233/namespaces/default/workflows/nightly"
    console = Console(file=StringIO(), highlight=False)
    print_summary(console, outcome, ui, log, Commands("nightly", can_show=True))
    assert isinstance(console.file, StringIO)
    assert PAGE.blocks("text", "failures") == [console.file.getvalue().lstrip("\n")]
