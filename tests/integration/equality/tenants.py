"""The project `tenants` on PostgreSQL: the environment of each tenant, and what its database must hold afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.integration.postgres import PostgresDatabase

ITEMS_TOTAL = 60
"""The sum of the prices in seeds/raw_items.csv."""
MODELS = ("in_sql", "in_config", "by_macro", "counted", "in_project", "in_yaml")


def server_environment(database: PostgresDatabase) -> dict[str, str]:
    """What the worker knows: the server, and an environment for runs that bring none of their own."""
    return {
        "PG_HOST": database.host,
        "PG_PORT": str(database.port),
        "PG_USER": database.user,
        "DBT_ENV_SECRET_PG_PASSWORD": database.password,
        "TENANT": "nobody",
        "TENANT_AREA": "nowhere",
        "TENANT_DATABASE": database.dbname,
    }


@dataclass(frozen=True)
class Tenant:
    """One tenant; even numbers use the target `prod`, odd ones the default."""

    number: int
    database: PostgresDatabase

    @property
    def name(self) -> str:
        """Its name, which all that it owns carries."""
        return f"t{self.number:02}"

    @property
    def env(self) -> dict[str, str]:
        """The environment of its runs."""
        return {
            "TENANT": self.name,
            "TENANT_AREA": f"area{self.number % 3}",
            "TENANT_SCHEMA": f"{self.name}_schema",
            "TENANT_DATABASE": self.database.dbname,
        }

    @property
    def target(self) -> str:
        """The target of its runs."""
        return "prod" if self.number % 2 == 0 else "dev"

    @property
    def schema(self) -> str:
        """The schema of its target."""
        return f"{self.name}_schema_prod" if self.target == "prod" else f"{self.name}_schema"

    def run_input(self, **more: Any) -> dict[str, Any]:
        """A build of its own. The factor tells its runs' `vars` apart."""
        target = {"target": "prod"} if self.target == "prod" else {}
        return {"command": "build", "env": self.env, "vars": {"factor": self.number}, **target, **more}

    def relations(self) -> dict[str, tuple[str, str]]:
        """(schema, name) of each model, by dbt's name of it."""
        custom = f"__for__{self.name}__in__{self.schema}"
        area = self.env["TENANT_AREA"]
        return {
            "raw_items": (self.schema, "raw_items"),
            "in_sql": (self.schema, "in_sql"),
            "counted": (self.schema, "counted"),
            "by_macro": (self.schema, f"by_macro_{self.name}"),
            "in_config": (area + custom, "in_config"),
            "in_yaml": (f"yaml_{area}{custom}", "in_yaml"),
            "in_project": (f"project_{area}{custom}", "in_project"),
        }

    def select(self, columns: str, model: str) -> list[tuple[object, ...]]:
        """Rows of one of its models."""
        schema, name = self.relations()[model]
        return self.database.query(f'select {columns} from "{schema}"."{name}"')

    def diary(self, invocation_id: str) -> list[tuple[object, ...]]:
        """(moment, tenant) of each entry that a run made, sorted."""
        where = f"where invocation = '{invocation_id}' order by 1"
        return self.database.query(f'select moment, tenant from "{self.schema}".diary {where}')

    def check_contents(self, factor: int) -> None:
        """Every model holds this tenant's values and no other's."""
        assert self.select("*", "in_sql") == [(self.name, self.target, factor * ITEMS_TOTAL)]
        for model in ("in_config", "in_yaml", "in_project"):
            assert self.select("own_schema", model) == [(self.relations()[model][0],)]
        label = f"tenant {self.name} of {self.env['TENANT_AREA']}"
        assert self.select("label, tenant, total", "by_macro") == [(label, self.name, factor * ITEMS_TOTAL)]
        assert self.select("label", "in_project") == [(label,)]

    def diary_of_a_build(self) -> list[tuple[object, ...]]:
        """What a build's hooks write, sorted."""
        names = [self.relations()[model][1] for model in MODELS]
        return sorted((moment, self.name) for moment in (*names, "start", "end"))


def relations_of(database: PostgresDatabase) -> set[tuple[object, ...]]:
    """(schema, name) of all tables and views that are not PostgreSQL's own, the diaries left out."""
    return set(
        database.query(
            "select table_schema, table_name from information_schema.tables "
            "where table_schema not in ('pg_catalog', 'information_schema') and table_name <> 'diary'"
        )
    )
