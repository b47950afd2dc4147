"""dbt v2 as `make setup-dbt-v2` installs it, with projects for tests."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import REPOSITORY, write_files
from tests.integration.postgres import PostgresDatabase

FOLDER = REPOSITORY / ".dbt-v2"
BINARY = FOLDER / "dbt"

needs_dbt_v2 = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="dbt v2 and its drivers are pinned for Linux on x86_64 alone; there, `make setup-dbt-v2` installs them",
)
"""Where they are to be had and are missing, tests fail, and do not pass over it."""

_PROFILES = """
any:
  target: duckdb
  outputs:
    duckdb:
      type: duckdb
      path: "{{ env_var('ANY_DB', 'unused.duckdb') }}"
      schema: "{{ env_var('ANY_SCHEMA', 'main') }}"
      threads: 4
    postgres:
      type: postgres
      host: "{{ env_var('ANY_PG_HOST', '') }}"
      port: "{{ env_var('ANY_PG_PORT', '0') | as_number }}"
      user: "{{ env_var('ANY_PG_USER', '') }}"
      password: "{{ env_var('ANY_PG_PASSWORD', '') }}"
      dbname: "{{ env_var('ANY_PG_DBNAME', '') }}"
      schema: "{{ env_var('ANY_SCHEMA', 'built') }}"
      threads: 4
"""
_PROJECT = """
name: any
version: "1.0"
profile: any
models: {any: {+materialized: table}}
"""


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that the program needs to find its drivers."""
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(FOLDER / "lib"),
        "XDG_CACHE_HOME": str(FOLDER / "cache"),
        "DBT_ALLOW_EXPERIMENTAL_ADAPTERS": "true",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        **(own or {}),
    }


def on_duckdb(folder: Path) -> dict[str, str]:
    """The variables by which the profile reaches a DuckDB file in a folder."""
    return {"ANY_DB": str(folder / "any.duckdb")}


def on_postgres(database: PostgresDatabase) -> dict[str, str]:
    """The variables by which the profile reaches a database, and that make its target the default."""
    return {
        "ANY_DB": "unused.duckdb",
        "ANY_PG_HOST": database.host,
        "ANY_PG_PORT": str(database.port),
        "ANY_PG_USER": database.user,
        "ANY_PG_PASSWORD": database.password,
        "ANY_PG_DBNAME": database.dbname,
        "DBT_TARGET": "postgres",
    }


def make_project(folder: Path, files: Mapping[str, str], *, more: str = "") -> ProjectLocation:
    """A project `any` of these files; `more` is added to its dbt_project.yml."""
    write_files(folder, {"dbt_project.yml": _PROJECT + more, "profiles.yml": _PROFILES, **files})
    return ProjectLocation(project_dir=folder, profiles_dir=folder)
