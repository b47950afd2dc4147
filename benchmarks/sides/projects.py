"""The projects that are measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sides.databases import Database
from benchmarks.sides.processes import BenchmarkError

CHAINS = 50
"""How many views refer to none; below each of them hangs a chain."""


@dataclass(frozen=True)
class Project:
    """A project on disk, and the database that its models are built in."""

    folder: Path
    database: Database

    def write(self, models: Mapping[str, str], threads: int, config: Mapping[str, str] | None = None) -> None:
        """Writes the models, SQL by name; `config` is what dbt_temporal.yml has."""
        folder = self.folder / "models"
        folder.mkdir(parents=True)
        for name, text in models.items():
            (folder / f"{name}.sql").write_text(f"{text}\n")
        profiles = {"bench": {"target": "dev", "outputs": {"dev": {**self.database.output(), "threads": threads}}}}
        project = {"name": "bench", "version": "1.0", "profile": "bench"}
        # JSON is YAML.
        (self.folder / "profiles.yml").write_text(json.dumps(profiles))
        (self.folder / "dbt_project.yml").write_text(json.dumps(project))
        if config:
            (self.folder / "dbt_temporal.yml").write_text(json.dumps(config))

    def check(self, views: int) -> None:
        """Fails where there are not so many views in the database."""
        built = self.database.count_views()
        if built != views:
            raise BenchmarkError(f"{self.folder.name}: {built} views were built instead of {views}")


def copy_of(project: Path, folder: Path) -> Path:
    """A copy of a project, in the folder, without what earlier runs left in it."""
    copy = folder / project.name
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("target", "logs", "*.duckdb", "*.wal", ".user.yml"))
    return copy


def view_name(number: int) -> str:
    """The name of one of the views."""
    return f"view_{number:05}"


def views(count: int) -> dict[str, str]:
    """Views of a number: the first ones stand alone, and each other one refers to the one CHAINS before it."""
    models = {}
    for number in range(count):
        origin = f" from {{{{ ref('{view_name(number - CHAINS)}') }}}}" if number >= CHAINS else ""
        models[view_name(number)] = f"select {number} as n{origin}"
    return models


def tests_of(models: Iterable[str], column: str, tests: Sequence[str]) -> str:
    """A properties file that has these generic tests on a column of each of the models."""
    named = [{"name": name, "columns": [{"name": column, "data_tests": list(tests)}]} for name in models]
    return json.dumps({"version": 2, "models": named})


def sleeping(secs: float, *parents: str) -> str:
    """A table that PostgreSQL needs so long for."""
    depends = "".join(f"-- depends_on: {{{{ ref('{parent}') }}}}\n" for parent in parents)
    return f"{{{{ config(materialized='table') }}}}\n{depends}select 1 as n from pg_sleep({secs})"


def chain_beside_levels(length: int, levels: int, width: int, secs: float) -> dict[str, str]:
    """A chain of tables that take `secs` each, and beside it levels of `width` such tables.

    Each table of a level refers to all of the level before.
    """
    models: dict[str, str] = {}
    for number in range(length):
        models[f"chain_{number:04}"] = sleeping(secs, *([f"chain_{number - 1:04}"] if number else []))
    for level in range(levels):
        parents = [f"wide_{level - 1:02}_{number:04}" for number in range(width)] if level else []
        for number in range(width):
            models[f"wide_{level:02}_{number:04}"] = sleeping(secs, *parents)
    return models
