"""Random projects give on one worker and on two what they give on the command line; and those that once did not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.differential.arena import Arena, open_arena
from tests.differential.databases import DuckDb, Postgres, Server
from tests.differential.generating import scenario_of
from tests.differential.scenario import Scenario
from tests.differential.sides import two_clients
from tests.integration.postgres import PostgresDatabase

KEPT = {
    path.stem: Scenario.from_json(path.read_text())
    for path in sorted((Path(__file__).parents[2] / "differential" / "kept").glob("*.json"))
}
NUMBERS = ((500, "postgres"), (504, "duckdb"), (505, "postgres"))
"""A few; `make differential` runs many, on either dbt version."""
DATABASES, ALL_KINDS = ("duckdb", "postgres"), "every_kind_of_node"
KEPT_ON = [(name, DATABASES[i % 2]) for i, name in enumerate(KEPT)]
"""What differed once did so on either; the one with all kinds of nodes runs on both."""


@pytest.fixture(scope="module")
async def arenas(
    temporal_address: str,
    temporal_client: Client,  # which has registered the search attributes
    postgres_server: PostgresDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Mapping[str, Arena]]:
    clients = await two_clients(temporal_address)
    servers: list[Server] = [DuckDb(), Postgres(postgres_server)]
    async with AsyncExitStack() as stack:
        yield {
            server.kind: await stack.enter_async_context(
                open_arena(server, clients, tmp_path_factory.mktemp(server.kind))
            )
            for server in servers
        }


@pytest.mark.parametrize(("number", "database"), NUMBERS)
async def test_a_random_project_gives_what_the_command_line_gives(
    arenas: Mapping[str, Arena], database: str, number: int
) -> None:
    assert (await arenas[database].run(scenario_of(number))).differences == []


@pytest.mark.parametrize(("name", "database"), sorted({*KEPT_ON, *((ALL_KINDS, kind) for kind in DATABASES)}))
async def test_a_project_that_once_differed_gives_what_the_command_line_gives(
    arenas: Mapping[str, Arena], database: str, name: str
) -> None:
    assert (await arenas[database].run(KEPT[name])).differences == []
