"""A project, commands with flags on it, and by what each flag is seen to take effect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tests.integration.flags.flag_table import FLAGS

FILES = {
    "dbt_project.yml": "name: project\nversion: '1.0'\nprofile: project\n",
    "profiles.yml": """\
project:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('FLAGS_DB') }}", schema: main, threads: 2}
    other: {type: duckdb, path: "{{ env_var('FLAGS_DB') }}", schema: other, threads: 2}
second:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('FLAGS_DB') }}", schema: second, threads: 2}
""",
    "seeds/days.csv": "id,day\n1,2026-01-01\n2,2026-01-02\n3,2026-01-03\n4,2026-01-04\n",
    "models/events.sql": """\
{{ config(materialized='table', event_time='at_day') }}
select id, cast(day as timestamp) as at_day from {{ ref('days') }}""",
    "models/sampled.sql": "{{ config(materialized='table') }} select * from {{ ref('events') }}",
    "models/micro.sql": """\
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at_day', batch_size='day',
          begin='2026-01-01') }}
select * from {{ ref('events') }}""",
    "models/grows.sql": "{{ config(materialized='incremental') }} select {{ is_incremental() | int }} as n",
    "models/warns.sql": """\
{% if execute %}{% do exceptions.warn('be careful') %}{{ print('printed words') }}{% endif %}
select 1 as n""",
    "models/threaded.sql": "{{ config(meta={'parsed': target.threads}) }} select {{ target.threads }} as n",
    "models/ephemeral.sql": "{{ config(materialized='ephemeral') }} select 1 as n",
    "models/one.sql": "select 1 as n",
    "models/two.sql": "select n + 1 as n from {{ ref('one') }}",
    "models/inlines.sql": "select n from {{ ref('ephemeral') }}",
    "models/asks.sql": """\
{% if execute %}{% set answer = run_query('select 7 as n').rows[0][0] %}{% endif %}
select {{ answer }} as n""",
    "models/looks.sql": """\
{% if execute %}{% do adapter.get_relation(this.database, 'aside', 'far') %}{% endif %}
select 1 as n""",
    "models/far.sql": "{{ config(schema='aside') }} select 1 as n",
    "macros/generate_schema_name.sql": """\
{% macro generate_schema_name(name, node) %}{{ name or target.schema }}{% endmacro %}""",
    "models/unit.yml": """\
models:
  - {name: grows, columns: [{name: n, data_tests: [{relationships: {arguments: {to: ref('warns'), field: n}}}]}]}
unit_tests:
  - name: fails
    model: two
    given: [{input: ref('one'), rows: [{n: 1}]}]
    expect: {rows: [{n: 3}]}
""",
    "snapshots/snap.yml": """\
snapshots:
  - {name: snap, relation: ref('events'), config: {strategy: check, check_cols: all, unique_key: id}}
""",
    "tests/warned.sql": "{{ config(severity='warn') }} select 1 as n",
    "tests/failed.sql": "select n from {{ ref('grows') }}",
}
DEMANDING = FILES["dbt_project.yml"] + "require-dbt-version: '>=9.0.0'\n"


class Seen:
    """What one side did in one case: the results of run_results.json by the names of nodes, and other files."""

    def __init__(self, database: Path, files: Mapping[str, bytes], log: str, listed: list[str], problem: str) -> None:
        documents = {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}
        results = documents.get("run_results.json", {"results": []})["results"]
        self.results = {_name(result["unique_id"]): result for result in results}
        self.manifest = documents.get("manifest.json", {})
        self.files = frozenset(files) & {"manifest.json", "run_results.json"}
        self.log = log
        self.listed = sorted(listed)
        self.problem = problem
        self._database = database

    def ask(self, query: str) -> Any:
        """Asks the side's database; the kind of the error where it has no answer."""
        with duckdb.connect(str(self._database)) as connection:
            try:
                return sorted(connection.sql(query).fetchall())
            except duckdb.CatalogException as error:
                return type(error).__name__


def _name(unique_id: str) -> str:
    return ".".join(unique_id.split(".")[2:])


Look = Callable[[Seen], Any]


@dataclass(frozen=True)
class Case:
    """A command with flags as variables, and by what each of them is seen.

    On our side, a flag that the run's input has is given there, which leaves the project's environment as it is.

    Attributes:
        words: flags that have no variable, as words of dbt's command line.
        beside: the case in which the flags are not set, and the looks differ.
        project: the folder of the project.
    """

    command: str
    select: str | None
    env: Mapping[str, str]
    looks: Mapping[str, Look] = field(default_factory=dict)
    beside: str = "plain"
    project: str = "project"
    words: tuple[str, ...] = ()


def env(**flags: str) -> dict[str, str]:
    """Flags as variables."""
    return {f"DBT_{name.upper()}": value for name, value in flags.items()}


def tabled(*names: str) -> dict[str, str]:
    """Flags as variables, with the values of the table."""
    values = {name: FLAGS[name].value for name in names}
    return env(**{name: value for name, value in values.items() if value is not None})


def status(name: str) -> Look:
    return lambda seen: seen.results.get(name, {}).get("status")


def message(name: str) -> Look:
    return lambda seen: seen.results.get(name, {}).get("message")


def rows(query: str) -> Look:
    return lambda seen: seen.ask(query)


def logs(pattern: str) -> Look:
    """The first place in the log that matches, or nothing."""

    def look(seen: Seen) -> str | None:
        match = re.search(pattern, seen.log)
        return match[0] if match else None

    return look


def on_main_thread(seen: Seen) -> bool:
    return all(result["thread_id"] in ("main", "MainThread") for result in seen.results.values())


def compiled_path(seen: Seen) -> Any:
    return seen.manifest["nodes"]["model.project.sampled"].get("compiled_path")


def parsed_meta(name: str) -> Look:
    return lambda seen: seen.manifest["nodes"][f"model.project.{name}"]["config"]["meta"]


def compiled_code(name: str) -> Look:
    return lambda seen: seen.results.get(name, {}).get("compiled_code")


def looks_aside(seen: Seen) -> bool:
    """Whether a model asked the database for what lies in a schema, instead of the cache."""
    statements = re.split(r"\n(?=\S*\d\d:\d\d:\d\d)", seen.log)
    return any("On model.project.looks:" in statement and "aside" in statement for statement in statements)


PLAIN = {"plain": Case("build", None, {})}
RESULTS = {
    **PLAIN,
    "build": Case(
        "build",
        None,
        tabled(
            "store_failures",
            "use_colors",
            "target_path",
            "exclude_resource_types",
            "warn_error_options",
            "print",
            "printer_width",
        ),
        {
            "store_failures": rows("select table_name from information_schema.tables where table_schema like '%audit'"),
            "use_colors": message("two.fails"),
            "target_path": compiled_path,
            "exclude_resource_types": status("snap"),
            "warn_error_options": status("warns"),
            "print": logs("printed words"),
            "printer_width": logs(r"START sql table model main.sampled \.+ \[RUN\]"),
        },
    ),
    "small": Case(
        "build",
        None,
        tabled("empty", "warn_error", "log_format_file", "full_refresh"),
        {
            "empty": rows("from main.events"),
            "warn_error": lambda seen: (status("warned")(seen), status("warns")(seen)),
            "log_format_file": logs(r'"level": "debug"'),
            "full_refresh": rows("from main.grows"),
        },
        beside="build",
    ),
    "sample": Case(
        "run",
        "events sampled",
        tabled("sample", "log_level_file"),
        {"sample": rows("from main.sampled"), "log_level_file": logs(r"\[debug")},
    ),
    "debug": Case("run", "sampled", tabled("log_level_file", "debug"), {"debug": logs(r"\[debug")}, beside="sample"),
    "introspect": Case("compile", "asks", tabled("introspect"), {"introspect": lambda seen: bool(seen.problem)}),
    "sqlparse": Case(
        "run", "inlines", {"DBT_ENGINE_SQLPARSE": str(FLAGS["sqlparse"].value)}, {"sqlparse": message("inlines")}
    ),
    "unthreaded": Case("run", "threaded", {}),
    "threads": Case(
        "run",
        "threaded",
        {},
        {"threads": lambda seen: (rows("from main.threaded")(seen), parsed_meta("threaded")(seen))},
        beside="unthreaded",
        words=("--threads", "3"),
    ),
    "injected": Case("compile", "inlines", {}),
    "inject_ephemeral_ctes": Case(
        "compile",
        "inlines",
        {},
        {"inject_ephemeral_ctes": compiled_code("inlines")},
        beside="injected",
        words=("--no-inject-ephemeral-ctes",),
    ),
    "write_json": Case("run", "sampled", tabled("write_json"), {"write_json": lambda seen: seen.files}),
    "demanding": Case("run", "grows", {}, project="demanding"),
    "version_check": Case(
        "run",
        "grows",
        tabled("version_check"),
        {"version_check": status("grows")},
        beside="demanding",
        project="demanding",
    ),
}
PLACES = {
    **PLAIN,
    "undeferred": Case("run", "sampled", env(target="other")),
    "defer": Case(
        "run",
        "sampled",
        env(target="other", defer="true", state="{state}"),
        {"defer": rows("from other.sampled"), "state": status("sampled")},
        beside="undeferred",
    ),
    "empty elsewhere": Case("run", "events", env(target="other", defer="true", state="{state}", empty="true")),
    "unfavored": Case("run", "sampled", env(target="other", defer="true", state="{state}")),
    "favor_state": Case(
        "run",
        "sampled",
        env(target="other", defer="true", defer_state="{state}", favor_state="true"),
        {"favor_state": rows("from other.sampled"), "defer_state": rows("from other.sampled")},
        beside="unfavored",
    ),
    "profile": Case("run", "warns", env(profile="second"), {"profile": rows("from second.warns")}),
    "event_time": Case(
        "run",
        "micro",
        tabled("event_time_start", "event_time_end"),
        {name: rows("from main.micro") for name in ("event_time_start", "event_time_end")},
    ),
    "populate_cache": Case("run", "looks", tabled("populate_cache"), {"populate_cache": looks_aside}),
    "cache_selected_only": Case("run", "looks", tabled("cache_selected_only"), {"cache_selected_only": looks_aside}),
    "list": Case("list", "grows", {}),
    "indirect_selection": Case(
        "list", "grows", tabled("indirect_selection"), {"indirect_selection": lambda seen: seen.listed}, beside="list"
    ),
    "resource_types": Case(
        "list", "grows", tabled("resource_types"), {"resource_types": lambda seen: seen.listed}, beside="list"
    ),
}
GROUPS = {"results": RESULTS, "places": PLACES}
CASES = RESULTS | PLACES
