"""No two attempts at a node are at work in the database: the later one ends what the earlier one has left there."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import NodeOutcome, ProjectLocation
from dbt_temporal.domain.run.invocation import DbtInvocation
from tests.integration.engine_driver import new_invocation, opened, write_files
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase, postgres_env
from tests.integration.programs import Program
from tests.integration.servers import wait_for
from tests.integration.worker.test_shutdown import Site

APPENDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select current_user::text as writer from pg_sleep((select max(secs) from public.nap))"
)
SLEEPS_LONG = "create table public.nap as select 600.0 as secs"
SLEEPS_NO_MORE = "update public.nap set secs = 0"
NAMES = (
    "select application_name from pg_stat_activity where datname = current_database() and state = 'active' "
    "and query like '%public.nap%' and pid <> pg_backend_pid()"
)


def names(database: PostgresDatabase) -> list[str]:
    """What the sessions are called that sleep."""
    return [str(row[0]) for row in database.query(NAMES)]


async def until_sleeping(database: PostgresDatabase, count: int) -> None:
    async def there() -> bool:
        return len(await asyncio.to_thread(names, database)) == count

    await wait_for(there, what=f"{count} sessions sleep")


class Two:
    """A project whose model appends, and executions of it by runs of any owner."""

    def __init__(self, engine: DbtCoreEngine, location: ProjectLocation, database: PostgresDatabase) -> None:
        self.engine = engine
        self.location = location
        self.database = database
        self.invocations: list[DbtInvocation] = []

    def begin(self, owner: str = "", attempt: int = 1) -> asyncio.Future[NodeOutcome]:
        invocation = new_invocation(command="run", env=postgres_env(self.database, "PG"))
        if attempt > 1:  # of the same run
            invocation = self.invocations[-1]
        self.invocations.append(invocation.model_copy(update={"owner": owner}))
        run = opened(self.engine, self.location, self.invocations[-1])
        return asyncio.ensure_future(run.execute_node("model.pg.sleeps", lambda _: None, attempt=attempt))


@pytest.fixture
async def two(dbt_engine: DbtCoreEngine, tmp_path: Path, postgres: PostgresDatabase) -> AsyncIterator[Two]:
    write_files(tmp_path / "pg", {**POSTGRES_PROJECT, "models/sleeps.sql": APPENDS})
    postgres.execute(SLEEPS_LONG)
    two = Two(dbt_engine, ProjectLocation(tmp_path / "pg", tmp_path / "pg"), postgres)
    yield two
    for invocation in two.invocations:
        await dbt_engine.end_run(invocation.invocation_id)


@pytest.mark.parametrize("own", ["", "ours"], ids=["no name of its own", "a name of its own"])
async def test_a_session_says_of_which_run_it_is(two: Two, own: str) -> None:
    if own:
        profile = POSTGRES_PROJECT["profiles.yml"] + f"      application_name: {own}\n"
        write_files(two.location.project_dir, {"profiles.yml": profile})
    # One after the other, on the same thread and the same connection of dbt's.
    for attempt in (1, 2, 3):
        node = two.begin(attempt=attempt)
        await until_sleeping(two.database, 1)
        (name,) = names(two.database)
        begin, _, mark = name.rpartition(" ")
        assert f"{own or 'dbt'} {two.invocations[0].invocation_id}".startswith(begin)
        assert re.fullmatch(rf"[0-9a-f]{{8}}\.[0-9a-f]{{8}}\.{attempt}", mark)
        node.cancel()
        await asyncio.wait([node])


async def test_a_run_in_the_place_of_another_ends_what_that_has_left_at_the_same_node(two: Two) -> None:
    first = two.begin("nightly")
    await until_sleeping(two.database, 1)
    two.database.execute(SLEEPS_NO_MORE)
    assert (await two.begin("nightly")).error is None
    outcome = await first
    assert outcome.error is not None
    assert two.database.query("select count(*) from main.sleeps") == [(1,)]


async def test_runs_of_other_workflows_are_left_alone(two: Two) -> None:
    nodes = [two.begin("nightly"), two.begin("hourly"), two.begin()]
    await until_sleeping(two.database, len(nodes))
    for node in nodes:
        node.cancel()
    await asyncio.wait(nodes)


async def test_the_role_of_the_profile_is_kept(two: Two) -> None:
    user = two.database.user
    two.database.execute("create role writers", f"grant writers to {user}", "create schema main authorization writers")
    two.database.execute("grant select on public.nap to writers")
    try:
        profile = POSTGRES_PROJECT["profiles.yml"] + "      role: writers\n"
        write_files(two.location.project_dir, {"profiles.yml": profile})
        first = two.begin("nightly")
        await until_sleeping(two.database, 1)
        two.database.execute(SLEEPS_NO_MORE)
        assert (await two.begin("nightly")).error is None
        assert (await first).error is not None
        assert two.database.query("select writer from main.sleeps") == [("writers",)]
    finally:
        two.database.execute("drop owned by writers cascade", "drop role writers")


async def replaced(client: Client, site: Site, workflow_id: str) -> Any:
    """Another run of the same workflow id."""
    return await client.start_workflow(
        "dbt_run",
        {"command": "run"},
        id=workflow_id,
        task_queue=site.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )


async def reset(client: Client, site: Site, workflow_id: str) -> Any:
    """The same run from its first step on."""
    del site
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id),
        reason="test",
        workflow_task_finish_event_id=4,
        request_id=uuid4().hex,
    )
    answer = await client.workflow_service.reset_workflow_execution(request)
    return client.get_workflow_handle(workflow_id, run_id=answer.run_id)


@pytest.mark.parametrize("again", [replaced, reset])
async def test_a_run_that_begins_again_while_its_worker_stands_still_writes_once(
    site: Site, temporal_client: Client, again: Callable[..., Any]
) -> None:
    site.database.execute(SLEEPS_LONG)
    first = await site.worker()
    run = await site.run()
    with _standing_still(first):
        site.database.execute(SLEEPS_NO_MORE)
        handle = await again(temporal_client, site, run.workflow_id)
        await site.worker()
        await asyncio.wait_for(handle.result(), 120)
        assert names(site.database) == []
    first.process.send_signal(signal.SIGTERM)  # it ends when what it still runs has ended
    assert await asyncio.to_thread(first.ended) == 0
    assert site.count("select count(*) from main.sleeps") == 1


@contextmanager
def _standing_still(worker: Program) -> Any:
    family = worker.family()
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(family):
            process.send_signal(signal.SIGCONT)
