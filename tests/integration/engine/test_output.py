"""What run hosts print (Python models, drivers, crashes) is logged as their run's, and shows up in no other one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbt_temporal.application.log_context import current_fields, log_fields
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import new_invocation, open_engine, opened, write_files
from tests.integration.servers import wait_for

PROJECT = {
    "dbt_project.yml": "{name: loud, version: '1.0', profile: loud}",
    "profiles.yml": "loud: {target: dev, outputs: {dev: {type: duckdb, path: \"{{ env_var('LOUD_DB') }}\"}}}",
    "models/says.py": """
import os

def model(dbt, session):
    os.write(2, f"{os.environ['WORD']} by the driver\\n".encode())
    print(os.environ["WORD"], "by Python")
    if os.environ["WORD"] == "bye":
        os._exit(3)
    return session.sql("select 1 as one")
""",
}
NODE = "model.loud.says"


class Lines(logging.Handler):
    """What the engine logs, with the fields that each line carries."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seen: list[tuple[str, dict[str, str | int]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((record.getMessage(), dict(current_fields())))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("dbt_temporal.engine")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_what_a_run_prints_is_logged_with_its_fields_and_its_crash_tells_no_other_run_s_output(
    tmp_path: Path, lines: Lines
) -> None:
    write_files(tmp_path / "loud", PROJECT)
    location = ProjectLocation(tmp_path / "loud", tmp_path / "loud")

    async with open_engine(tmp_path / "cache") as engine:

        async def say(word: str) -> None:
            env = {"WORD": word, "LOUD_DB": str(tmp_path / f"{word}.duckdb")}
            invocation = new_invocation(command="run", env=env).model_copy(update={"project": "loud"})
            ours = {"workflow_id": f"run-{word}", "invocation_id": invocation.invocation_id, "project": "loud"}

            async def logged() -> bool:
                seen = [line for line in lines.seen if line[0].startswith(word)]
                return seen == [(f"{word} by the driver", ours), (f"{word} by Python", ours)]

            with log_fields(workflow_id=f"run-{word}", node=NODE, attempt=1):
                try:
                    await opened(engine, location, invocation).execute_node(NODE, lambda facts: None)
                finally:
                    await wait_for(logged, what=f"the lines of {word}")

        await asyncio.gather(say("hello"), say("servus"))
        with pytest.raises(DbtTemporalError, match=r"(?s)exit status 3.*bye by Python") as raised:
            await say("bye")

    assert raised.value.error_type is ErrorType.ENGINE_CRASHED
    assert "hello" not in raised.value.message
