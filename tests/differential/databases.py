"""The databases of a scenario: an empty one for each side, and what each holds afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from tests.integration.equality.compare_relations import Relations, duckdb_relations, postgres_relations
from tests.integration.postgres import PostgresDatabase

LANDED = "landed_"
"""How the names of tables begin that are there before a scenario's first command."""
_LANDED = (
    "create schema if not exists main",
    *(
        f"create table main.{LANDED}s{number} as select 1 as id, 'a' as label union all select {number + 7}, 'landed'"
        for number in range(2)
    ),
)

PROFILES = """\
shop:
  target: dev
  outputs:
    dev: &dev {{{connection}, schema: main, threads: {threads}}}
    prod: {{<<: *dev, schema: prod}}
"""


class Database(Protocol):
    """One side's database."""

    name: str
    """What dbt calls it; it differs from side to side."""
    env: Mapping[str, str]
    """What the profile reads."""

    def relations(self) -> Relations:
        """All that it holds."""

    def land(self) -> None:
        """Makes the tables that are there beforehand."""


class Server(Protocol):
    """Where databases are made."""

    kind: str
    connection: str
    """The settings of a target of profiles.yml, without schema and threads."""
    env: Mapping[str, str]
    """What the profiles of all databases read."""

    @contextmanager
    def databases(self, folder: Path, sides: list[str]) -> Iterator[dict[str, Database]]:
        """Empty ones, by side; `folder` is the scenario's own."""


class DuckDbFile:
    """A file in a folder of the side: dbt names the database by the file, so all sides have one name."""

    name = "warehouse"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._file = folder / "warehouse.duckdb"
        self.env: Mapping[str, str] = {"SHOP_DATABASE": str(self._file)}

    def relations(self) -> Relations:
        return duckdb_relations(self._file) if self._file.exists() else {}

    def land(self) -> None:
        with duckdb.connect(str(self._file)) as connection:
            for statement in _LANDED:
                connection.execute(statement)


class DuckDb:
    """DuckDB."""

    kind = "duckdb"
    connection = "type: duckdb, path: \"{{ env_var('SHOP_DATABASE') }}\""
    env: Mapping[str, str] = {}

    @contextmanager
    def databases(self, folder: Path, sides: list[str]) -> Iterator[dict[str, Database]]:
        yield {side: DuckDbFile(folder / side) for side in sides}


class PostgresSide:
    """A database of a PostgreSQL server."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self.name = database.dbname
        self.env: Mapping[str, str] = {"SHOP_DATABASE": database.dbname}

    def relations(self) -> Relations:
        with contextlib.closing(self._database.connect()) as connection:
            return postgres_relations(connection)

    def land(self) -> None:
        with contextlib.closing(self._database.connect()) as connection, connection.cursor() as cursor:
            for statement in _LANDED:
                cursor.execute(statement)


class Postgres:
    """A PostgreSQL server."""

    kind = "postgres"
    connection = (
        "type: postgres, host: \"{{ env_var('SHOP_HOST') }}\", port: \"{{ env_var('SHOP_PORT') | as_number }}\", "
        "user: \"{{ env_var('SHOP_USER') }}\", password: \"{{ env_var('DBT_ENV_SECRET_SHOP_PASSWORD') }}\", "
        "dbname: \"{{ env_var('SHOP_DATABASE') }}\""
    )

    def __init__(self, server: PostgresDatabase) -> None:
        self._server = server
        self.env: Mapping[str, str] = {
            "SHOP_HOST": server.host,
            "SHOP_PORT": str(server.port),
            "SHOP_USER": server.user,
            "DBT_ENV_SECRET_SHOP_PASSWORD": server.password,
        }

    @contextmanager
    def databases(self, folder: Path, sides: list[str]) -> Iterator[dict[str, Database]]:
        with ExitStack() as stack:
            yield {
                side: PostgresSide(stack.enter_context(self._server.fresh_database(f"side_{side}"))) for side in sides
            }
