"""cosmos' local mode: an Airflow task for each node, and a dbt process in each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.compare.way import RunOnce
from benchmarks.sides.processes import BIN, START_TIMEOUT_SECS, BenchmarkError, tail, waited_for
from benchmarks.sides.projects import Project
from benchmarks.sides.runs import quiet
from benchmarks.sides.temporal import free_port

REQUIREMENTS = ("astronomer-cosmos==1.15.1", "apache-airflow==3.3.2")
"""Without dbt: the tasks start the program of our environment, which is the same version then."""
DAG_ID = "bench"
LOOK_SECS = 0.5
RUN_TIMEOUT_SECS = 3600.0
DAG = """
from datetime import datetime
from cosmos import DbtDag, ExecutionConfig, ExecutionMode, LoadMode, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import InvocationMode, TestBehavior

project = {project!r}
dag = DbtDag(
    dag_id={dag_id!r},
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    project_config=ProjectConfig(dbt_project_path=project, manifest_path=project + "/target/manifest.json"),
    profile_config=ProfileConfig(
        profile_name="bench", target_name="dev", profiles_yml_filepath=project + "/profiles.yml"
    ),
    execution_config=ExecutionConfig(
        execution_mode=ExecutionMode.LOCAL, invocation_mode=InvocationMode.SUBPROCESS, dbt_executable_path={dbt!r}
    ),
    render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST, test_behavior=TestBehavior.NONE),
)
"""


@asynccontextmanager
async def cosmos(project: Project, programs: Path, folder: Path, threads: int) -> AsyncIterator[RunOnce]:
    """Airflow is up, with the manifest rendered; a run counts from its place in Airflow's queue to its end."""
    port = free_port()
    settings = _settings(folder / "airflow", port, threads, programs)
    waited_for([str(BIN / "dbt"), "parse", "--profiles-dir", str(project.folder)], settings, project.folder)
    dag = DAG.format(project=str(project.folder), dag_id=DAG_ID, dbt=str(BIN / "dbt"))
    _write(folder / "airflow" / "dags" / "bench.py", dag)
    log = folder / "airflow.log"
    with _airflow(programs, settings, log) as process:
        api = _Api(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + START_TIMEOUT_SECS
        while not await asyncio.to_thread(api.has_dag):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"Airflow does not load the DAG:\n{tail(log)}")
            await asyncio.sleep(LOOK_SECS)

        async def run() -> float:
            name = await asyncio.to_thread(api.trigger)
            until = time.monotonic() + RUN_TIMEOUT_SECS
            while time.monotonic() < until:
                told = await asyncio.to_thread(api.run, name)
                if told["state"] == "success":
                    return _seconds(told["queued_at"], told["end_date"])
                if told["state"] == "failed":
                    raise BenchmarkError(f"the DAG run failed:\n{tail(log)}")
                await asyncio.sleep(LOOK_SECS)
            raise BenchmarkError(f"the DAG run has not ended within {RUN_TIMEOUT_SECS:g} seconds")

        yield run


def _settings(home: Path, port: int, threads: int, programs: Path) -> dict[str, str]:
    """Airflow with its local executor, as many tasks at once as dbt has threads, and nobody to log in as."""
    given = {
        "CORE__LOAD_EXAMPLES": "false",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(threads),
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": str(threads),
        "CORE__DAGS_FOLDER": str(home / "dags"),
        "CORE__DAG_DISCOVERY_SAFE_MODE": "false",  # it would want the word airflow in the file
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__WORKERS": "1",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "USAGE_DATA_COLLECTION__ENABLED": "false",
        "COSMOS__ENABLE_TELEMETRY": "false",
    }
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"  # it starts its own parts by name
    return quiet(
        {"AIRFLOW_HOME": str(home), "PATH": path, **{f"AIRFLOW__{name}": value for name, value in given.items()}}
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@contextmanager
def _airflow(programs: Path, settings: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """All parts of Airflow, in a process group of their own, which ends with the context."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(programs / "airflow"), "standalone"],
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # It ends its parts at Ctrl-C, and not at SIGTERM.
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)


class _Api:
    """Airflow's REST API."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._token = ""

    def has_dag(self) -> bool:
        """Whether the DAG is there; no where Airflow does not answer yet."""
        try:
            return bool(self._ask(f"/api/v2/dags/{DAG_ID}")["dag_id"] == DAG_ID)
        except OSError:
            return False

    def trigger(self) -> str:
        """Begins a run. Returns its id."""
        return str(self._ask(f"/api/v2/dags/{DAG_ID}/dagRuns", {"logical_date": None})["dag_run_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """What is known of a run."""
        return self._ask(f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}")

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if not self._token and path != "/auth/token":
            self._token = self._ask("/auth/token")["access_token"]
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._address}{path}", data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            return told


def _seconds(began: str, ended: str) -> float:
    first, last = (datetime.fromisoformat(each.replace("Z", "+00:00")).astimezone(UTC) for each in (began, ended))
    return (last - first).total_seconds()
