"""prefect-dbt's per-node mode: a Prefect task, and a dbt invocation, for each node."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from benchmarks.compare.way import RunOnce
from benchmarks.sides.processes import BIN, START_TIMEOUT_SECS, BenchmarkError, running_process, tail, waited_for
from benchmarks.sides.projects import Project
from benchmarks.sides.runs import quiet
from benchmarks.sides.temporal import free_port

REQUIREMENTS = (
    "prefect-dbt==0.7.25",
    f"dbt-core=={version('dbt-core')}",
    f"dbt-postgres=={version('dbt-postgres')}",
)
PROGRAM = """
import json, sys, time
from pathlib import Path
from prefect import flow
from prefect_dbt import PrefectDbtSettings
# It has no public place yet.
from prefect_dbt.core._orchestrator import ExecutionMode, PrefectDbtOrchestrator

@flow
def build(project, threads):
    settings = PrefectDbtSettings(project_dir=Path(project), profiles_dir=Path(project))
    orchestrator = PrefectDbtOrchestrator(
        settings=settings,
        manifest_path=Path(project) / "target" / "manifest.json",
        execution_mode=ExecutionMode.PER_NODE,
        concurrency=threads,
    )
    return orchestrator.run_build()

if __name__ == "__main__":
    project, threads, answer = sys.argv[1:]
    began = time.perf_counter()
    build(project, int(threads))
    Path(answer).write_text(json.dumps(time.perf_counter() - began))
"""


@asynccontextmanager
async def prefect(project: Project, programs: Path, folder: Path, threads: int) -> AsyncIterator[RunOnce]:
    """A Prefect server is up, and the manifest there; a run counts from the flow's start, imports not included."""
    port = free_port()
    settings = quiet({"PREFECT_HOME": str(folder / "home"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"})
    serve = [str(programs / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    program, answer = folder / "build_by_prefect.py", folder / "wall.json"
    program.write_text(PROGRAM)
    waited_for([str(BIN / "dbt"), "parse", "--profiles-dir", str(project.folder)], settings, project.folder)
    with running_process(serve, folder / "server.log", settings) as server:
        address = f"http://127.0.0.1:{port}/api"
        deadline = time.monotonic() + START_TIMEOUT_SECS
        while not await asyncio.to_thread(_answers, f"{address}/health"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"the Prefect server does not answer:\n{tail(folder / 'server.log')}")
            await asyncio.sleep(0.2)
        command = [str(programs / "python"), str(program), str(project.folder), str(threads), str(answer)]

        async def run() -> float:
            waited_for(command, {**settings, "PREFECT_API_URL": address}, folder)
            return float(json.loads(answer.read_text()))

        yield run


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
