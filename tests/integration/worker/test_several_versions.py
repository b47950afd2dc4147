"""Workers with different dbt versions beside each other: a task queue for each, one Temporal and one store for all."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from temporalio.client import Client

from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.application.ports.runs import Ending
from tests.integration.engine_driver import write_files
from tests.integration.programs import ROOT
from tests.integration.servers import end_with_parent, wait_for

OTHER_PYTHON = ROOT / ".venv-dbt-1.12" / "bin" / "python"
FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "models/versioned.sql": "select '{{ dbt_version }}' as dbt_version",
    "models/above.sql": "select * from {{ ref('versioned') }}",
}


@contextmanager
def worker(python: Path, folder: Path, address: str, queue: str) -> Iterator[Path]:
    """A worker program of an environment, with a project and a cache of its own; yields its health file."""
    outputs = f"{{dev: {{type: duckdb, path: '{folder / 'shop.duckdb'}', schema: main, threads: 1}}}}"
    write_files(folder / "shop", {**FILES, "profiles.yml": f"shop: {{target: dev, outputs: {outputs}}}\n"})
    given = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "TEMPORAL_"))}
    env = {
        **given,
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_TASK_QUEUE": queue,
        "DBT_PROJECT_DIRS": str(folder / "shop"),
        "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"),
        "WRITE_ARTIFACTS": "true",
        "ARTIFACT_STORE": str(folder.parent / "artifacts"),
        "HEALTH_FILE": str(folder / "health"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    command = [str(python), "-m", "dbt_temporal", "worker"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, preexec_fn=end_with_parent)
        try:
            yield folder / "health"
        finally:
            process.kill()
            process.wait()


async def test_a_task_queue_for_each_version_runs_projects_side_by_side_and_shares_the_store(
    temporal_client: Client, temporal_address: str, task_queue: str, tmp_path: Path
) -> None:
    assert OTHER_PYTHON.exists(), "there is no environment with dbt-core 1.12: make setup-dbt-1.12"
    pythons = {"1.11": Path(sys.executable), "1.12": OTHER_PYTHON}
    assert version("dbt-core").startswith("1.11."), "this test is for the environment with dbt-core 1.11"
    queues = {number: f"{task_queue}-{number}" for number in pythons}
    with ExitStack() as stack:
        for number, python in pythons.items():
            health = stack.enter_context(worker(python, tmp_path / number, temporal_address, queues[number]))

            async def ready(health: Path = health) -> bool:
                return await asyncio.to_thread(health.exists)

            await wait_for(ready, what=f"the worker with dbt {number}")
        gateways = {number: TemporalRunGateway(temporal_client, queue) for number, queue in queues.items()}
        submitted = {
            number: await gateway.submit({"command": "build"}, f"{task_queue}-run-{number}")
            for number, gateway in gateways.items()
        }
        stored = {}
        for number, run in submitted.items():
            outcome = await run.outcome()
            assert outcome.ending is Ending.COMPLETED
            assert outcome.output is not None
            assert (outcome.output.engine, outcome.output.project) == ("dbt-core", "shop")
            assert str(outcome.output.dbt_version).startswith(f"{number}.")
            stored[number] = tmp_path / "artifacts" / outcome.output.invocation_id
            manifest = json.loads((stored[number] / "manifest.json").read_text())
            assert manifest["metadata"]["dbt_version"] == outcome.output.dbt_version
        # Each reads what the other has stored.
        for number, other in (("1.11", "1.12"), ("1.12", "1.11")):
            selection = {"command": "list", "select": "state:new", "state_manifest_ref": str(stored[other])}
            run = await gateways[number].submit(selection, f"{task_queue}-list-{number}")
            outcome = await run.outcome()
            assert (outcome.ending, outcome.output and outcome.output.node_results) == (Ending.COMPLETED, [])
