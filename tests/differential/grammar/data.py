"""Where rows come from: seeds, sources with their freshness, snapshots; and a package of the project's own."""

from __future__ import annotations

from typing import Any

from tests.differential.databases import LANDED
from tests.differential.grammar.sketch import TAGS, Relation, Sketch

_ROWS = ("1,a", "2,b", "3,c", "3,d", "4,", '5,"x, y"')


def add_seeds(sketch: Sketch) -> None:
    """Seeds."""
    for number in range(sketch.number(0, 2)):
        name = f"s{number}"
        rows = sketch.some_of(_ROWS, least=1, most=5)
        sketch.files[f"seeds/{name}.csv"] = "\n".join(["id,label", *rows]) + "\n"
        config: dict[str, Any] = {}
        if sketch.happens(30):
            config["column_types"] = {"id": sketch.one_of(("integer", "bigint")), "label": "varchar(20)"}
        if sketch.happens(20):
            config["tags"] = [sketch.one_of(TAGS)]
        if sketch.happens(10):
            config["quote_columns"] = True
        if sketch.happens(10):
            config["post_hook"] = "insert into {{ target.schema }}.audit values ('seeded', '{{ this.name }}')"
        if config:
            sketch.entry("seeds", name)["config"] = config
        sketch.relations.append(Relation(name, f"ref('{name}')", "seed"))


def add_sources(sketch: Sketch) -> None:
    """Sources: tables, and one that is nowhere. With one thread they are those of seeds, for which nothing waits.

    With several that would be a race in dbt itself; they are there beforehand then.
    """
    seeds = [each.name for each in sketch.relations if each.kind == "seed"]
    if not seeds or not sketch.happens(45):
        return
    tables = []
    for seed in [*seeds, *(["missing"] if sketch.happens(20) else [])]:
        table: dict[str, Any] = {"name": seed}
        if sketch.threads > 1 and seed in seeds:
            table["identifier"] = f"{LANDED}{seed}"
        if sketch.happens(60):
            table["config"] = _freshness(sketch)
        if sketch.happens(25):
            table["columns"] = [{"name": "id", "data_tests": ["not_null"]}]
            sketch.tests.append(f"source_not_null_raw_{seed}_id")
        tables.append(table)
        sketch.relations.append(Relation(seed, f"source('raw', '{seed}')", "source"))
    source: dict[str, Any] = {"name": "raw", "schema": "main", "tables": tables}
    if sketch.happens(30):
        source["config"] = {"tags": ["raw"], "meta": {"from": "seeds"}}
    sketch.add("sources", source)


def _freshness(sketch: Sketch) -> dict[str, Any]:
    bounds = {"count": sketch.one_of((1, 1000)), "period": "day"}
    freshness: dict[str, Any] = {sketch.one_of(("warn_after", "error_after")): bounds}
    if sketch.happens(20):
        freshness["filter"] = "id > 0"
    config: dict[str, Any] = {"freshness": freshness}
    if sketch.happens(70):
        config["loaded_at_field"] = "cast('2024-02-03' as timestamp)"
    else:
        config["loaded_at_query"] = "select cast('2024-02-03' as timestamp)"
    return config


def add_snapshots(sketch: Sketch) -> None:
    """Snapshots of seeds, sources and models."""
    sources = [each for each in sketch.relations if each.kind in ("seed", "table", "view")]
    for number in range(sketch.number(0, 1)):
        if not sources:
            return
        name = f"snap{number}"
        config: dict[str, Any] = {"unique_key": "id", "strategy": "check", "check_cols": ["label"]}
        if sketch.happens(30):
            config["hard_deletes"] = sketch.one_of(("ignore", "invalidate", "new_record"))
        if sketch.happens(30):
            config["tags"] = [sketch.one_of(TAGS)]
        if sketch.happens(20):
            config["dbt_valid_to_current"] = "cast('9999-12-31' as timestamp)"
        of = sketch.one_of(sources)
        sketch.add("snapshots", {"name": name, "relation": of.reference, "config": config})
        sketch.relations.append(Relation(name, f"ref('{name}')", "snapshot"))


def add_package(sketch: Sketch) -> None:
    """A local package with a model, a macro, a var and sometimes hooks."""
    if not sketch.happens(15):
        return
    sketch.files["packages.yml"] = "packages:\n  - local: helper\n"
    hooks = ""
    if sketch.happens(40):
        hooks = "on-run-end: \"{{ helper.note('helper ended') }}\"\n"
    sketch.files["helper/dbt_project.yml"] = f"name: helper\nversion: '1.0'\nvars: {{helper_word: helping}}\n{hooks}"
    sketch.files["helper/macros/note.sql"] = "{% macro note(text) %}select '{{ text }}' as note{% endmacro %}\n"
    sketch.files["helper/models/helped.sql"] = (
        "{{ config(materialized='table') }} select 7 as id, '{{ var('helper_word') }}' as label\n"
    )
    sketch.relations.append(Relation("helped", "ref('helped')", "table", package="helper"))


def add_exposures(sketch: Sketch) -> None:
    """Exposures on models."""
    models = sketch.models()
    if models and sketch.happens(20):
        on = [each.reference for each in sketch.some_of(models, least=1, most=2)]
        exposure = {"name": "board", "type": "dashboard", "owner": {"name": "me"}, "depends_on": on}
        if sketch.happens(50):
            exposure["config"] = {"tags": ["shown"], "enabled": sketch.one_of((True, True, False))}
        sketch.add("exposures", exposure)
