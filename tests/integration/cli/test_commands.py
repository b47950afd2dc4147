"""The commands against a dev server with three projects."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import EXAMPLE, PROJECTS, Desk, Program, dev, started


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    projects = [desk.project(path) for path in (EXAMPLE, PROJECTS / "slow", PROJECTS / "with_failures")]
    desk.env["DBT_PROJECT_DIRS"] = ",".join(str(path) for path in projects)
    return desk


@pytest.fixture(scope="module", autouse=True)
def dev_server(desk: Desk) -> Iterator[Program]:
    with dev(desk) as program:
        program.says("Ctrl-C ends all of it.")
        yield program


def test_a_build_shows_the_log_and_ends_with_dbts_summary_line(desk: Desk) -> None:
    result = desk.command("build", "--project", "jaffle_shop", "--exclude", "resource_type:unit_test")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert any(line.startswith("  => seed") and "[OK in" in line for line in lines)
    assert "Completed successfully" in lines
    assert any(
        line.startswith("artifacts") and str(desk.cache_dir) in line and "(run_results.json, " in line for line in lines
    )
    assert any(line.startswith("Temporal UI") and "/workflows/dbt-build-jaffle_shop-" in line for line in lines)
    assert lines[-1].startswith("Done. PASS=")
    assert "ERROR=0" in lines[-1]
    assert "\x1b" not in result.stdout


def test_a_quiet_build_that_goes_well_prints_nothing(desk: Desk) -> None:
    result = desk.command("seed", "--project", "jaffle_shop", "--quiet", "--no-use-colors")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_failed_node_gives_exit_code_1_and_its_message(desk: Desk) -> None:
    result = desk.command("build", "--project", "with_failures", "--select", "sql_error+")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Failure in model sql_error" in result.stdout
    assert "Error in model sql_error" in result.stdout
    (place,) = re.findall(r"^  compiled SQL  (/.*)$", result.stdout, re.MULTILINE)
    assert "no_such_column" in Path(place).read_text()
    (log,) = re.findall(r"^  log +dbt-temporal (logs .*)$", result.stdout, re.MULTILINE)
    assert "no_such_column" in desk.command(*shlex.split(log)).stdout
    (retry,) = re.findall(r"^retry +dbt-temporal (retry .*)$", result.stdout, re.MULTILINE)
    assert "Failure in model sql_error" in desk.command(*shlex.split(retry)).stdout
    last = result.stdout.splitlines()[-1]
    assert "ERROR=1" in last
    assert "SKIP=0" not in last


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--project", "jaffle_shop", "--select", "nonsense:x"], "'nonsense' is not a valid method name"),
        (["--project", "jaffle_shop", "--target", "nowhere"], "nowhere"),
        (["--project", "nothing_like_it"], "jaffle_shop"),
        ([], "with_failures"),
    ],
)
def test_a_run_that_cannot_start_gives_exit_code_2_and_the_reason_once(desk: Desk, args: list[str], told: str) -> None:
    result = desk.command("build", *args)
    assert result.returncode == 2, result.stdout
    assert told in result.stdout
    assert "START" not in result.stdout
    assert result.stdout.count("Planning failed") <= 1


def test_retry_takes_the_id_of_a_workflow(desk: Desk) -> None:
    build = ["run", "--project", "with_failures", "--select", "sql_error+", "--workflow-id", "fails"]
    assert desk.command(*build).returncode == 1
    result = desk.command("retry", "fails", "--project", "with_failures")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Failure in model sql_error" in result.stdout
    unknown = desk.command("retry", "nobody", "--project", "with_failures")
    assert unknown.returncode == 2
    assert "has no run 'nobody'" in unknown.stderr


def test_retry_without_an_id_says_first_which_run_it_takes(desk: Desk) -> None:
    build = ["run", "--project", "with_failures", "--select", "sql_error+", "--workflow-id", "newest-fails"]
    assert desk.command(*build).returncode == 1
    unplanned = ["run", "--project", "with_failures", "--target", "nowhere", "--workflow-id", "not-planned"]
    assert desk.command(*unplanned).returncode == 2
    result = desk.command("retry", "--project", "with_failures")
    first, submitted, *_ = result.stderr.splitlines()
    assert first.startswith("Retries newest-fails: run --select sql_error+, failed at 20")
    assert submitted.startswith("Submitted ")
    assert "Failure in model sql_error" in result.stdout


def test_list_prints_the_selectors_alone_on_standard_output(desk: Desk) -> None:
    args = ["ls", "--project", "jaffle_shop", "--select", "+dim_products", "--exclude", "resource_type:test"]
    result = desk.command(*args)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "jaffle_shop.marts.dim_products" in lines
    assert "source:jaffle_shop.shop.raw_products" in lines
    assert all(" " not in line for line in lines)


def test_compile_prints_the_code_of_the_named_node(desk: Desk) -> None:
    result = desk.command("compile", "--project", "slow", "--select", "after")
    assert result.returncode == 0, result.stdout
    assert "Compiled node 'after' is:\nselect id from" in result.stdout


def test_show_prints_rows_alone_on_standard_output(desk: Desk) -> None:
    args = ["--project", "slow", "--inline", "select 7 as n union all select 8", "--output", "json", "--limit", "1"]
    result = desk.command("show", *args)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"show": [{"n": 7}]}


def test_run_operation_prints_what_the_macro_says(desk: Desk) -> None:
    macro = "{% macro greet(name) %}{{ print('hello ' ~ name) }}{% endmacro %}"
    (desk.folder / "slow" / "macros").mkdir(exist_ok=True)
    (desk.folder / "slow" / "macros" / "greet.sql").write_text(macro)
    result = desk.command("run-operation", "greet", "--args", "{name: you}", "--project", "slow")
    assert (result.returncode, result.stdout) == (0, "hello you\n"), result.stderr
    missing = desk.command("run-operation", "great", "--project", "slow")
    assert missing.returncode == 2
    assert "those of slow are:" in missing.stderr
    assert "greet" in missing.stderr


def test_no_wait_prints_the_workflow_id_and_returns(desk: Desk) -> None:
    args = ["run", "--project", "slow", "--select", "before", "--no-wait", "--workflow-id", "my-run"]
    result = desk.command(*args)
    assert result.returncode == 0
    assert result.stdout == "my-run\n"
    assert "/workflows/my-run" in result.stderr


def test_ctrl_c_cancels_the_run_and_waits_for_its_end(desk: Desk) -> None:
    with started(desk, "run", "--project", "slow", "--vars", json.dumps({"seconds": 60})) as program:
        program.says("2 of 3 START")
        program.signal(signal.SIGINT)
        assert program.ended() == 2
    assert "Cancelling: waiting until running nodes have stopped" in program.output
    assert "[CANCELLED]" in program.output
    files = "run_results.json, manifest.json, log.txt, sql.zip"
    assert re.search(rf"^artifacts +/.*/ \({files}\)$", program.output, re.MULTILINE)
    assert re.search(r"^report +/.*/report.html$", program.output, re.MULTILINE)
    assert program.output.splitlines()[-1].startswith("Done. PASS=1 ")


def test_a_queue_without_workers_is_told_and_given_up(desk: Desk) -> None:
    result = desk.command("build", "--task-queue", "nobody-here", "--wait-for-worker", "4")
    assert result.returncode == 2
    assert "No worker polls the task queue 'nobody-here'" in result.stdout
    assert "no worker came within 4 seconds" in result.stdout


def test_a_server_that_is_not_there_is_named_with_what_to_do(desk: Desk) -> None:
    result = desk.command("build", "--address", "localhost:1")
    assert result.returncode == 2
    assert "cannot connect to Temporal at localhost:1" in result.stderr
    assert "Check --address" in result.stderr
    assert "dbt-temporal dev" in result.stderr


def test_a_wrong_variable_is_named_with_what_is_allowed(desk: Desk) -> None:
    result = desk.command("build", "--address", "ftp://here")
    assert result.returncode == 2
    assert "invalid flags or environment:" in result.stderr
    assert "--address='ftp://here'" in result.stderr
    assert "https://host:port" in result.stderr


def test_dbts_variables_about_a_terminal_hold_where_the_command_is_typed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"DBT_LOG_FORMAT": "json", "DBT_LOG_LEVEL": "warn", "DBT_PRINT": "false"}
    for name, value in (variables | dict.fromkeys(("DBT_QUIET", "DBT_DEBUG", "DBT_USE_COLORS"), "false")).items():
        monkeypatch.setitem(desk.env, name, value)
    result = desk.command("run", "--project", "with_failures", "--select", "sql_error")
    assert result.returncode == 1, result.stdout + result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["info"]["name"] for event in events] == ["LogModelResult", "EndOfRunSummary", "RunResultError"]
    assert "Error in model sql_error" in events[-1]["data"]["msg"]
    assert events[-1]["data"]["node_info"]["unique_id"] == "model.with_failures.sql_error"
    macro = "{% macro say_so() %}{{ print('it is so') }}{% endmacro %}"
    (desk.folder / "slow" / "macros").mkdir(exist_ok=True)
    (desk.folder / "slow" / "macros" / "say_so.sql").write_text(macro)
    said = ["run-operation", "say_so", "--project", "slow"]
    assert desk.command(*said).stdout == ""
    heard = [json.loads(line) for line in desk.command(*said, "--print", "--quiet").stdout.splitlines()]
    assert [(event["info"]["name"], event["data"]) for event in heard] == [("PrintEvent", {"msg": "it is so"})]
