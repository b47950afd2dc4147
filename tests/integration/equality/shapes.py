"""Small projects of different shapes: with and without hooks, tests, packages."""

from __future__ import annotations

PROFILE = """\
shape:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('SHAPE_DB') }}", threads: 2}
"""
MODELS = {
    "seeds/cities.csv": "city,country\nGhent,BE\nLille,FR\n",
    "models/inner_one.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('cities') }}",
    "models/outer_one.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('inner_one') }}",
    "models/unused.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('outer_one') }}",
    "models/belgian.sql": "{{ config(materialized='table') }} select * from {{ ref('outer_one') }} where city < 'L'",
    "models/names.sql": "select city from {{ ref('belgian') }}",
    "models/grown.sql": "{{ config(materialized='incremental') }} select city from {{ ref('belgian') }}",
    "models/broken.sql": "select * from nowhere",
    "models/below_broken.sql": "select * from {{ ref('broken') }}",
}
TESTS = {
    "models/tests.yml": """\
models:
  - name: names
    columns: [{name: city, tests: [not_null, unique]}]
  - name: outer_one
    columns: [{name: country, tests: [not_null]}]
unit_tests:
  - name: takes_the_city
    model: names
    given: [{input: ref('belgian'), rows: [{city: Ghent}]}]
    expect: {rows: [{city: Ghent}]}
""",
    "tests/no_french.sql": "select * from {{ ref('belgian') }} where country = 'FR'",
}
SNAPSHOT = """\
snapshots:
  - name: kept_cities
    relation: ref('cities')
    config: {unique_key: city, strategy: check, check_cols: all}
"""
# What dbt shows of each result's node, where the order of results is the same for everybody.
END_HOOK = (
    "select 1 -- {% for result in results | sort(attribute='node.unique_id') %}{{ result.node.unique_id }} "
    "{{ result.status }} {{ result.node.compiled }} {{ result.node.compiled_path }} {{ result.node.build_path }} "
    "{{ result.node.relation_name }};{% endfor %}"
)
START_HOOK = "create table if not exists started (invocation varchar)"
PACKAGE = {
    "packages.yml": "packages:\n  - local: helper\n",
    "helper/dbt_project.yml": f"""\
name: helper
version: '1.0'
config-version: 2
on-run-start: "{START_HOOK}"
on-run-end: ["insert into started values ('{{{{ invocation_id }}}}')", "{{{{ helper.last(schemas) }}}}"]
""",
    "helper/macros/last.sql": "{% macro last(schemas) %}select '{{ schemas | sort | join }}'{% endmacro %}",
    "helper/models/helping.sql": "select 1 as one",
}


def shape(files: dict[str, str], settings: str = "") -> dict[str, str]:
    """A project's files."""
    project = f"name: shape\nversion: '1.0'\nconfig-version: 2\nprofile: shape\n{settings}"
    return {"dbt_project.yml": project, "profiles.yml": PROFILE, **files}


SHAPES: dict[str, dict[str, str]] = {
    "no_hooks": shape({**MODELS, **TESTS, "snapshots/kept.yml": SNAPSHOT}),
    "only_on_run_start": shape({**MODELS, **TESTS}, f'on-run-start: "{START_HOOK}"\n'),
    "only_on_run_end": shape({**MODELS, **TESTS}, f'on-run-end: "{END_HOOK}"\n'),
    "failing_hook": shape({**MODELS, **TESTS}, 'on-run-start: ["select 1", "select * from nowhere", "select 2"]\n'),
    "no_tests": shape(MODELS),
    "one_node": shape({"models/alone.sql": "select 1 as one"}),
    "only_ephemeral": shape({"models/alone.sql": "{{ config(materialized='ephemeral') }} select 1 as one"}),
    "a_package_with_hooks": shape({**MODELS, **TESTS, **PACKAGE}),
}
