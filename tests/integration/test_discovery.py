"""What a worker says of its projects when it starts: the real program, with real dbt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.programs import PATIENCE_SECS, PROJECTS, Desk, started

MULTI_PROJECT = Path(__file__).parents[2] / "examples" / "multi-project"


@pytest.fixture
def desk(tmp_path: Path, temporal_address: str) -> Desk:
    made = Desk(tmp_path)
    made.env |= {"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_TASK_QUEUE": tmp_path.name}
    return made


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        # dbt names the model's file, and the line in a YAML file.
        ("parse_error", ["models/lost.sql"]),
        ("yaml_error", ["yaml_error: schema.yml", "line 5"]),
        ("env_missing", ["Env var required but not provided"]),
        ("no_profile", ["Could not find profile named"]),
    ],
)
def test_a_project_that_does_not_load_stops_the_worker_with_dbts_message(
    desk: Desk, project: str, expected: list[str]
) -> None:
    # A good project beside it does not help.
    places = f"{PROJECTS / 'slow'},{PROJECTS / 'broken' / project}"
    done = subprocess.run(
        [sys.executable, "-m", "dbt_temporal", "worker"],
        env={**desk.env, "DBT_PROJECT_DIRS": places},
        cwd=desk.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECS,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    for text in (f"the project {PROJECTS / 'broken' / project} does not load: ", *expected):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_the_worker_lists_its_projects_with_what_they_hold(desk: Desk) -> None:
    desk.env["DBT_PROJECTS_DIR"] = str(MULTI_PROJECT)
    with started(desk, "worker") as program:
        program.says("Working on task queue")
    for name, nodes in (("analytics", "3 models"), ("marketing", "2 models")):
        (line,) = [line for line in program.output.splitlines() if f"Loaded project {name}:" in line]
        for text in ("revision ", f"source {MULTI_PROJECT / name}", "adapter postgres", "target dev", nodes, " s"):
            assert text in line
