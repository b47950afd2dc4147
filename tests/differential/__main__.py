"""`make differential`: many random projects on both databases, with their progress and a table at the end."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.connection.search_attributes import register_search_attributes
from tests.differential.arena import open_arena
from tests.differential.databases import DuckDb, Postgres
from tests.differential.scenario import Scenario, Step
from tests.integration.postgres import running_postgres
from tests.integration.servers import SEARCH_ATTRIBUTES, temporal_dev_server

FIXED = Scenario(
    {
        "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
        "models/a.sql": "select 1 as id",
        "models/b.sql": "{{ config(materialized='table') }} select id from {{ ref('a') }}",
        "models/c.sql": "select id from nowhere",
        "models/d.sql": "select id from {{ ref('c') }}",
    },
    (Step("build"), Step("run", {"select": "a+"}), Step("build", retry=True)),
)


async def main() -> None:
    folder = Path(tempfile.mkdtemp())
    with temporal_dev_server(folder / "server.log") as address, running_postgres() as pg:
        clients = [await connect(ConnectionSettings(address=address), patience_secs=30) for _ in range(2)]
        await register_search_attributes(clients[0], SEARCH_ATTRIBUTES)
        for server in (DuckDb(), Postgres(pg)):
            async with open_arena(server, clients, folder) as arena:
                for _ in range(3):
                    report = await arena.run(FIXED)
                    print(server.kind, report)


if __name__ == "__main__":
    asyncio.run(main())
