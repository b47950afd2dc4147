"""What variables of projects, artifacts, secrets, health and run hosts do to a worker that runs as a program."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.connection.search_attributes import register_search_attributes
from dbt_temporal.adapters.temporal.gateway import TemporalRun, TemporalRunGateway
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.results import DbtRunOutput
from tests.integration.engine_driver import write_files
from tests.integration.programs import Desk, Program, started
from tests.integration.servers import SEARCH_ATTRIBUTES, free_port, wait_for
from tests.unit.entrypoints.test_health import ask

PATIENCE_SECS = 90.0

PYTHON_MODEL = """
import os, pathlib, time

def model(dbt, session):
    dbt.config(materialized="table")
    {body}
    return session.sql(f"select {{os.getpid()}} as pid")
"""
WAITS = """pathlib.Path(os.environ["GATE"] + ".pid").write_text(str(os.getpid()))
    while not pathlib.Path(os.environ["GATE"]).exists():
        time.sleep(0.02)"""
PROJECT = {
    "shop/dbt_project.yml": "name: shop\nversion: '1.0'\nconfig-version: 2\nprofile: shop\n",
    "shop/packages.yml": "packages:\n  - local: ../greetings\n",
    # A failed attempt is tried again long after the test's end.
    "shop/dbt_temporal.yml": "retry: {max_attempts: 2, initial_interval_secs: 600, max_interval_secs: 600}\n",
    "shop/models/one.py": PYTHON_MODEL.format(body="pass"),
    "shop/models/two.py": PYTHON_MODEL.format(body="dbt.ref('one')"),
    "shop/models/waits.py": PYTHON_MODEL.format(body=WAITS),
    "shop/models/secret.sql": "select '{{ env_var('PASSWORD') }}' as password, {{ greetings.greet() }} as greeting,"
    " '{{ env_var('LOGIN', 'none') }}' as login",
    "profiles/profiles.yml": """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('SHOP_DB') }}", schema: of_dev, threads: 4}
    prod: {type: duckdb, path: "{{ env_var('SHOP_DB') }}", schema: of_prod, threads: 4}
""",
    "secrets/password": "s3cret-of-a-file\n",
}
GREETINGS = {
    "dbt_project.yml": "name: greetings\nversion: '1.0'\nconfig-version: 2\n",
    "macros/greet.sql": "{% macro greet() %}'hello'{% endmacro %}",
}


class Shop:
    """A worker whose variables are all set, in a namespace of its own."""

    def __init__(self, folder: Path, client: Client) -> None:
        self.program: Program
        self.desk = Desk(folder)
        self.folder = folder
        self.client = client
        self.port = free_port()
        self.gateway = TemporalRunGateway(client, "shop-tasks")
        write_files(folder, PROJECT)
        # The project has its package already: only DBT_DEPS=always installs it once more.
        for place in ("greetings", "shop/dbt_packages/greetings"):
            write_files(folder / place, GREETINGS)
        self.desk.env |= {
            "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": client.namespace,
            "TEMPORAL_TASK_QUEUE": "shop-tasks",
            "TEMPORAL_SEARCH_ATTRIBUTES": '{"Team": "data"}',
            "DBT_ENGINE_PROJECT_DIR": str(folder / "shop"),
            "DBT_ENGINE_PROFILES_DIR": str(folder / "profiles"),
            "DBT_ENGINE_TARGET": "prod",
            # Where both are set, dbt takes its newer names.
            **{"DBT_PROJECT_DIR": "no-project", "DBT_PROFILES_DIR": "no-profiles", "DBT_TARGET": "dev"},
            "DBT_DEPS": "always",
            "WRITE_ARTIFACTS": "true",
            "ARTIFACT_STORE": str(folder / "artifacts"),
            "WRITE_RUN_LOG": "false",
            "WRITE_REPORT": "false",
            "WRITE_SQL": "false",
            "WRITE_CATALOG": "true",
            "ARTIFACT_LATEST": "always",
            "HEALTH_FILE": str(folder / "alive"),
            "HEALTH_PORT": str(self.port),
            "DBT_TEMPORAL_SECRET_DIRS": str(folder / "secrets"),
            "DBT_TEMPORAL_SECRET_ENV": "SHOP_LOGIN_*",
            "DBT_TEMPORAL_LOG_LEVEL": "warning",
            "DBT_TEMPORAL_MAX_HOSTS": "1",
            "DBT_TEMPORAL_HOST_IDLE_SECS": "0.5",
            "DBT_TEMPORAL_HOST_MEMORY_MB": "1",
            "DBT_TEMPORAL_MAX_PARSED_PROJECTS": "1",
            "SHOP_DB": str(folder / "worker.duckdb"),
            "PASSWORD": "of-the-worker",
            "SHOP_LOGIN_A": "login-of-a",
            "AWS_SECRET_ACCESS_KEY": "of-the-cloud",
            "GATE": str(folder / "gate"),
        }

    async def submit(self, **run_input: Any) -> TemporalRun:
        """A run."""
        return await self.gateway.submit(run_input, f"run-{uuid4().hex}")

    def run_hosts(self) -> int:
        """Processes beside the worker, the template and the parents that are loaded."""
        return len(self.desk.processes()) - 2 - len(self.parents())

    def parents(self) -> list[Path]:
        """The folders of parsed projects in memory."""
        return list(self.desk.cache_dir.glob("**/parents/*"))


def value(database: Path, query: str) -> Any:
    """One value of a database that no host has open."""
    with duckdb.connect(str(database), read_only=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


@pytest.fixture(scope="module")
async def client(temporal_client: Client, temporal_address: str) -> Client:
    """In a namespace of its own."""
    name = f"shop-{uuid4().hex[:8]}"
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    request = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
    await temporal_client.workflow_service.register_namespace(request)
    client = await connect(ConnectionSettings(address=temporal_address, namespace=name), patience_secs=60)
    await register_search_attributes(client, SEARCH_ATTRIBUTES)
    return client


@pytest.fixture(scope="module")
async def shop(client: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"), client)
    with started(shop.desk, "worker") as shop.program:
        await asyncio.to_thread(shop.program.says, "Working on task queue 'shop-tasks'")
        yield shop


@dataclass
class Finished:
    """A run that has succeeded."""

    run: TemporalRun
    output: DbtRunOutput
    database: Path


@pytest.fixture(scope="module")
async def finished(shop: Shop) -> Finished:
    database = shop.folder / "finished.duckdb"
    secrets = {"PASSWORD": {"from_file": str(shop.folder / "secrets/password")}, "LOGIN": {"from_env": "SHOP_LOGIN_A"}}
    env = {"SHOP_DB": str(database), **secrets}
    run = await shop.submit(command="run", select="secret one two", env=env)
    outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED, outcome.message
    assert outcome.output is not None
    return Finished(run, outcome.output, database)


def test_the_profile_the_target_and_the_folder_of_secrets_are_those_of_the_variables(finished: Finished) -> None:
    assert value(finished.database, "select password from of_prod.secret") == "s3cret-of-a-file"


def test_runs_may_name_the_variables_of_the_variable(finished: Finished) -> None:
    assert value(finished.database, "select login from of_prod.secret") == "login-of-a"


async def test_runs_may_name_no_others(shop: Shop) -> None:
    run = await shop.submit(command="run", select="secret", env={"LOGIN": {"from_env": "AWS_SECRET_ACCESS_KEY"}})
    outcome = await run.outcome()
    assert outcome.ending is Ending.FAILED
    assert "runs may not name this variable of the worker (SHOP_LOGIN_*; see" in (outcome.message or "")


def test_packages_are_installed_as_the_variable_says(shop: Shop) -> None:
    (installed,) = shop.desk.cache_dir.glob("packages/*/packages")
    assert os.listdir(installed) == ["greetings"]


def test_artifacts_are_written_as_the_variables_say(shop: Shop, finished: Finished) -> None:
    files = set(os.listdir(shop.folder / "artifacts" / finished.output.invocation_id))
    assert {"run_results.json", "manifest.json", "catalog.json"} <= files
    assert "log.txt" not in files
    assert "report.html" not in files
    assert "sql.zip" not in files
    assert finished.output.report_path is None


async def test_a_run_has_the_search_attributes_of_the_variable(finished: Finished) -> None:
    description = await finished.run.handle.describe()
    assert [pair.value for pair in description.typed_search_attributes if pair.key.name == "Team"] == ["data"]


def test_nothing_below_the_level_is_logged(shop: Shop, finished: Finished) -> None:
    assert finished.output.success
    assert "Working on task queue" in shop.program.output
    assert " INFO " not in shop.program.output


def test_a_host_with_too_much_memory_is_replaced_between_nodes(finished: Finished) -> None:
    assert value(finished.database, "select one.pid <> two.pid from of_prod.one, of_prod.two") is True


async def test_only_as_many_parsed_projects_are_kept_as_may_be(shop: Shop, finished: Finished) -> None:
    assert finished.output.success  # parsed by an environment of its own, beside the worker's

    async def one_is_left() -> bool:
        return len(shop.parents()) == 1

    await wait_for(one_is_left, within=PATIENCE_SECS, what=f"one parsed project is left: {shop.parents()}")


async def test_health_is_told_by_the_file_and_the_port_of_the_variables(shop: Shop) -> None:
    async def ready() -> bool:
        return (await ask(shop.port, "/ready"))[0] == 200

    await wait_for(ready, within=PATIENCE_SECS, what="the worker is ready")
    assert (await ask(shop.port))[0] == 200
    checked = await asyncio.to_thread(shop.desk.command, "healthcheck")
    assert (checked.returncode, checked.stdout.split(" was ")[0]) == (0, f"healthy: {shop.folder}/alive")


async def test_commands_link_to_the_ui_of_the_variable(shop: Shop) -> None:
    shop.desk.env["TEMPORAL_UI_URL"] = "http://ui.internal:8233"
    # Not all models: one of them would wait, and hold the only host.
    submitted = await asyncio.to_thread(shop.desk.command, "run", "--no-wait", "--select", "one")
    assert submitted.returncode == 0, submitted.stderr
    run = shop.gateway.find(submitted.stdout.strip())
    await run.terminate("only its link is looked at")
    assert f"http://ui.internal:8233/namespaces/{shop.client.namespace}/workflows/{run.workflow_id}" in submitted.stderr


async def test_a_run_waits_for_the_only_host_whose_place_is_free_when_it_dies(shop: Shop) -> None:
    (shop.folder / "gate.pid").unlink(missing_ok=True)  # of a host that has gone
    busy = await shop.submit(command="run", select="waits")
    pid = await wait_for(partial(_pid_of_the_model_that_waits, shop), within=PATIENCE_SECS, what="the node has begun")
    waiting = await shop.submit(command="list")
    await wait_for(partial(_is_planning, waiting), within=PATIENCE_SECS, what="the other run's plan has begun")
    ending = asyncio.create_task(waiting.outcome())
    # What is parsed already is planned in a tenth of that, where there is room.
    done, _ = await asyncio.wait([ending], timeout=2)
    assert not done
    os.kill(pid, signal.SIGKILL)
    assert (await ending).ending is Ending.COMPLETED
    await busy.terminate("the test is over")


async def test_a_host_that_is_idle_is_ended(shop: Shop) -> None:
    hook = {"workflow_type": "never_done", "task_queue": "nobody-serves-this"}
    run = await shop.submit(command="run", hooks={"pre_run": [hook]})

    async def has_been_planned() -> bool:
        snapshot = await run.snapshot(with_nodes=False)
        return snapshot is not None and snapshot.phase == "pre_run_hooks"

    await wait_for(has_been_planned, within=PATIENCE_SECS, what="a host has planned the run, which waits for a hook")
    await wait_for(partial(_has_no_host, shop), within=PATIENCE_SECS, what="no host is left")
    await run.terminate("the test is over")


async def _pid_of_the_model_that_waits(shop: Shop) -> int | None:
    return await asyncio.to_thread(_read_pid, shop.folder / "gate.pid")


def _read_pid(file: Path) -> int | None:
    return int(file.read_text() or 0) if file.exists() else None


async def _is_planning(run: TemporalRun) -> bool:
    description = await run.handle.describe()
    begun = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return any(
        activity.activity_type.name == "plan_project" and activity.state == begun
        for activity in description.raw_description.pending_activities
    )


async def _has_no_host(shop: Shop) -> bool:
    return await asyncio.to_thread(shop.run_hosts) == 0
