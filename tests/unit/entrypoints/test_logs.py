"""The log: its two formats, the fields of a run, and what must not stand in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dbt_temporal.adapters.secrets import WorkerSecrets
from dbt_temporal.adapters.telemetry.logs import LogLines, configure_logging
from dbt_temporal.adapters.telemetry.settings import LogSettings
from dbt_temporal.application.log_context import log_fields, log_redactor
from dbt_temporal.application.ports.engine import EnginePlan
from dbt_temporal.application.secrets.keeping_engine import SecretKeepingEngine
from dbt_temporal.domain.secrets.redaction import Redactor
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.entrypoints.worker.log import start_log, worker_console
from dbt_temporal.testing import FakeEngine, FakeEngineRun, planned, ready_project

logger = logging.getLogger("dbt_temporal.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes; afterwards logging is as before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own would be closed
    try:
        yield io.StringIO()
    finally:
        root.handlers, root.level = handlers, level


def as_json(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def json_log(stream: io.StringIO, *secrets: str, level: str = "info") -> None:
    configure_logging(LogSettings(format="json", level=level), frozenset(secrets), stream)  # type: ignore[arg-type]


def test_a_json_line_has_the_fields_of_what_goes_on_and_only_meanwhile(stream: io.StringIO) -> None:
    json_log(stream)
    with log_fields(workflow_id="w", project="shop"), log_fields(node="model.shop.a", attempt=2, absent=None):
        logger.info("inside %s", "a node")
    logger.warning("outside")
    inside, outside = as_json(stream)
    assert inside.pop("timestamp").endswith("+00:00")
    assert inside == {
        "level": "info",
        "logger": "dbt_temporal.test",
        "message": "inside a node",
        "workflow_id": "w",
        "project": "shop",
        "node": "model.shop.a",
        "attempt": 2,
    }
    assert outside.keys() == {"timestamp", "level", "logger", "message"}


async def test_tasks_at_once_do_not_mix_their_fields(stream: io.StringIO) -> None:
    json_log(stream)
    both_began = asyncio.Barrier(2)

    async def work(project: str) -> None:
        with log_fields(project=project):
            await both_began.wait()
            logger.info("%s", project)

    await asyncio.gather(work("one"), work("two"))
    assert sorted((line["message"], line["project"]) for line in as_json(stream)) == [("one", "one"), ("two", "two")]


def test_a_text_line_ends_with_the_fields(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)
    with log_fields(workflow_id="w", attempt=1):
        logger.info("inside")
        logger.info("first\nsecond")
    logger.info("outside")
    inside, first, second, outside = stream.getvalue().splitlines()
    assert inside.endswith(" INFO dbt_temporal.test: inside | workflow_id=w attempt=1")
    assert first.endswith(" INFO dbt_temporal.test: first | workflow_id=w attempt=1")
    assert second == "second"
    assert outside.endswith(" INFO dbt_temporal.test: outside")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_secret_stands_in_a_message_or_a_traceback(stream: io.StringIO, log_format: str) -> None:
    configure_logging(LogSettings(format=log_format), frozenset({"worker-key"}), stream)  # type: ignore[arg-type]
    with log_redactor(Redactor(["run-password"])):
        try:
            raise ValueError("refused run-password")
        except ValueError:
            logger.exception("connecting with %s and %s", "run-password", "worker-key")
    text = stream.getvalue()
    assert "connecting with *** and ***" in text
    assert "ValueError: refused ***" in text
    assert "run-password" not in text
    assert "worker-key" not in text


@pytest.mark.parametrize(
    "told",
    [
        {"temporal_workflow": {"workflow_id": "w", "run_id": "r", "task_queue": "q"}},
        {"temporal_activity": {"workflow_id": "w", "workflow_run_id": "r", "activity_type": "a"}},
    ],
)
def test_what_the_sdk_logs_of_a_run_says_which_run(stream: io.StringIO, told: dict[str, dict[str, str]]) -> None:
    json_log(stream)
    logger.warning("failed activation", extra=told)
    with log_fields(invocation_id="first run"):
        logger.warning("after a reset", extra=told)
    assert [(line["workflow_id"], line["invocation_id"]) for line in as_json(stream)] == [
        ("w", "r"),
        ("w", "first run"),
    ]


def test_a_message_of_several_lines_is_one_json_line(stream: io.StringIO) -> None:
    json_log(stream)
    logger.warning("first\nsecond")
    assert [line["message"] for line in as_json(stream)] == ["first\nsecond"]


def test_lines_below_the_level_are_left_out_and_libraries_only_warn(stream: io.StringIO) -> None:
    json_log(stream, level="info")
    logger.debug("no")
    logging.getLogger("temporalio.worker").info("no")
    logging.getLogger("temporalio.worker").warning("yes")
    assert [line["message"] for line in as_json(stream)] == ["yes"]
    json_log(stream, level="debug")
    logger.debug("now")
    assert as_json(stream)[-1]["message"] == "now"


def test_what_is_printed_becomes_lines_of_the_log(stream: io.StringIO) -> None:
    json_log(stream)
    lines = LogLines(logger)
    lines.write("one\ntw")
    lines.write("o\n\n")
    assert [line["message"] for line in as_json(stream)] == ["one", "two"]


def test_in_json_the_worker_prints_nothing_but_json(stream: io.StringIO) -> None:
    settings = read_settings({"DBT_TEMPORAL_LOG_FORMAT": "JSON"})
    configure_logging(settings.logs, stream=stream)
    worker_console(settings).print("Working on " + "x" * 300, highlight=False)
    assert [line["message"] for line in as_json(stream)] == ["Working on " + "x" * 300]


def test_a_worker_whose_output_nobody_reads_any_more_works_on() -> None:
    program = """
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.entrypoints.worker.log import worker_console
console = worker_console(read_settings({}))
input()
console.print("Shutting down")
console.print("Worker ended.")
raise SystemExit(7)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert (process.wait(), process.stderr.read()) == (7, b"")


def test_the_workers_own_credentials_are_secret(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"TEMPORAL_API_KEY": "cloud-key-1", "GITHUB_TOKEN": "ghp-token-2", "DBT_ENV_SECRET_X": "dbt-secret-3"}
    start_log(read_settings(environ), environ)
    logger.info("cloud-key-1 ghp-token-2 dbt-secret-3 open")
    assert capsys.readouterr().err.rstrip().endswith("*** *** *** open")


async def test_what_the_engine_logs_for_a_run_shows_no_secret_of_the_run(stream: io.StringIO) -> None:
    json_log(stream)

    class TalkativeRun(FakeEngineRun):
        async def plan(self) -> EnginePlan:
            logger.warning("connecting with %s", self.invocation.input.env["DB_PASSWORD"])
            return await super().plan()

    invocation = planned(run_input={"env": {"DB_PASSWORD": "hunter2-hunter2"}}).invocation
    talkative = FakeEngine()
    talkative.run_class = TalkativeRun
    engine = SecretKeepingEngine(talkative, WorkerSecrets({}), {})
    await (await engine.open(ready_project().loaded.location, invocation)).plan()
    assert [line["message"] for line in as_json(stream)] == ["connecting with ***"]
