"""After a run that fails, and whose worker is lost, the value of a secret is nowhere but in dbt's partial parse."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from tests.faults.test_side_by_side import SLEEPS_LONG
from tests.integration.engine_driver import write_files
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import free_port, temporal_dev_server
from tests.integration.worker.test_shutdown import SLEEPERS, SOON_LOST, Site, site_in

SECRET = "s3cr3t-0123456789-value"
PROJECT = {
    "dbt_temporal.yml": SOON_LOST,
    "models/sleeps.sql": "{{ config(materialized='table') }} select pg_sleep((select max(secs) from public.nap))::text",
    "models/says.sql": "{{ log('the secret is ' ~ env_var('TOKEN', 'none'), info=true) }} select 1 as one",
    "models/raises.sql": (
        "{% if execute %}{{ exceptions.raise_compiler_error('no ' ~ env_var('TOKEN', 'none')) }}{% endif %}"
    ),
}


def found(folders: list[Path], secret: str) -> list[str]:
    """Files that hold the secret."""
    hits = []
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(OSError):
                if path.is_file() and secret.encode() in path.read_bytes():
                    hits.append(str(path.relative_to(folder)))
    return hits


async def test_the_value_of_a_secret_is_found_in_nothing_but_the_partial_parse(
    tmp_path: Path, postgres: PostgresDatabase
) -> None:
    port, state = free_port(), tmp_path / "temporal"
    state.mkdir()
    with temporal_dev_server(state / "server.log", port=port, db_file=state / "temporal.sqlite") as address:
        client = await connect(ConnectionSettings(address=address), patience_secs=60)
        async with site_in(tmp_path, address, postgres, client) as site:
            await _run(site)
            outputs = "".join(program.output for program in site.programs)
            assert SECRET not in outputs
    folders = [state, tmp_path / "store", *(desk.cache_dir for desk in site.desks)]
    assert all(folder.exists() for folder in folders)
    assert found([tmp_path / "store"], "the secret is ***")
    # dbt's partial parse holds what `env_var()` returned, in a folder that is the worker's own (docs/secrets.md).
    assert [name for name in found(folders, SECRET) if not name.endswith(".msgpack")] == []
    assert {(desk.cache_dir / "parsed").stat().st_mode & 0o077 for desk in site.desks} == {0}


async def _run(site: Site) -> None:
    """Its worker is lost, and one of its nodes fails."""
    folder = site.folder / "pg"
    profile = (folder / "profiles.yml").read_text()
    write_files(folder, {**PROJECT, "profiles.yml": profile.replace("PG_PASSWORD", "DBT_ENV_SECRET_PASSWORD")})
    role = f"secret_{site.database.dbname}"
    site.database.execute(
        SLEEPS_LONG,
        f"create role {role} superuser login password '{SECRET}'",
    )
    try:
        env = {
            "PG_USER": role,
            "DBT_ENV_SECRET_PASSWORD": SECRET,
            "DBT_ENV_SECRET_TOKEN": SECRET,
            "WRITE_ARTIFACTS": "true",
            "ARTIFACT_STORE": str(site.folder / "store"),
        }
        first = await site.worker(**env)
        given = {"command": "run", "env": {"TOKEN": {"from_env": "DBT_ENV_SECRET_TOKEN"}}}
        run = await site.gateway.submit(given, f"run-{role}")
        await site.eventually(lambda: site.count(SLEEPERS) == 1, "the node sleeps")
        for process in reversed(first.family()):
            with suppress(psutil.NoSuchProcess):  # it has followed the worker
                process.send_signal(signal.SIGKILL)
        site.database.execute("update public.nap set secs = 0")
        await site.worker(**env)
        outcome = await asyncio.wait_for(run.outcome(), 120)
        assert outcome.output is not None, outcome.message
        statuses = {each.unique_id.rsplit(".", 1)[-1]: each.status for each in outcome.output.node_results}
        assert statuses == {"sleeps": "success", "says": "success", "raises": "error"}
        assert SECRET not in json.dumps(outcome.output.model_dump(mode="json")) + str(outcome.message)
    finally:
        for program in site.programs:
            program.process.kill()
            program.ended()
        site.database.execute(f"drop owned by {role} cascade", f"drop role {role}")
