"""Models: the shape of the graph, materializations, config, SQL that depends on vars and environment, and failures."""

from __future__ import annotations

import json
from typing import Any

from tests.differential.grammar.sketch import GROUPS, MATERIALIZATIONS, TAGS, Relation, Sketch

AUDIT = "insert into {{ target.schema }}.audit values ('%s', '{{ this.name }}')"

_LABELS = (
    "label",
    "label",
    "label",
    "'{{ var('word', 'plain') }}'",
    "'{{ env_var('SHOP_FLAVOUR', 'vanilla') }}'",
    "'{{ target.name }}'",
    "'{{ this.identifier }}'",
    "'{{ model.unique_id }}'",
    "'{{ invocation_args_dict.which }}'",
    "'{{ flags.FULL_REFRESH }}'",
    "{{ shout('label') }}",
    "'{{ var('size', 3) + 1 }}'",
    "'{{ selected_resources | sort | join(' ') }}'",
    "'{{ graph.nodes | length }}'",
    "'{{ project_name }}.{{ modules.datetime.date(2024, 1, 2) }}'",
)
_FAILING = (
    "select id, label from nowhere",
    "select id, label from {{ this.schema }}.nowhere union all {sql}",
    "{{ exceptions.raise_compiler_error('no luck') if execute }}{sql}",
    "{{ undefined_macro() }}{sql}",
    "{sql} where",
    "{% if var('broken', true) %}select * from broken_on_purpose{% else %}{sql}{% endif %}",
    "{% if env_var('SHOP_BROKEN', 'yes') == 'yes' %}select 1 as{% else %}{sql}{% endif %}",
    "select cast('x' as integer) as id, label from ({sql}) as base",
)


def add_models(sketch: Sketch, prefix: str, least: int, most: int) -> None:
    """Draws models, each on some of what is there before it."""
    for number in range(sketch.number(least, most)):
        _add_model(sketch, f"{prefix}{number}")


def _add_model(sketch: Sketch, name: str) -> None:
    parents = sketch.some_of(sketch.relations, most=3) if sketch.relations and sketch.happens(85) else []
    kind = sketch.one_of(MATERIALIZATIONS)
    if sketch.threads > 1 and kind == "ephemeral" and any(parent.kind == "ephemeral" for parent in parents):
        kind = "view"  # where it is not selected itself, dbt's threads race to compile the one below
    config: dict[str, Any] = {"materialized": kind}
    sql, plain = _select(sketch, parents)
    if kind == "incremental":
        sql = _incremental(sketch, config, sql)
        plain = False
    if sketch.happens(15):
        sql = sketch.one_of(_FAILING).replace("{sql}", sql)
        plain = False
    if parents and parents[0].kind != "ephemeral" and sketch.happens(8):
        sql = _looks(sketch, parents[0]) + sql
    _draw_config(sketch, name, config)
    header = ""
    if sketch.happens(60):
        header = "{{ config(" + ", ".join(f"{key}={json.dumps(value)}" for key, value in config.items()) + ") }}\n"
        header = header.replace("=true", "=True").replace("=false", "=False")
    else:
        sketch.entry("models", name)["config"] = config
    folder = sketch.one_of(("", "", "staging/", "marts/"))
    sketch.files[f"models/{folder}{name}.sql"] = header + sql + "\n"
    _describe(sketch, name)
    if config.get("enabled", True):
        sketch.relations.append(
            Relation(name, f"ref('{name}')", kind, plain, tuple(parent.reference for parent in parents))
        )


def _select(sketch: Sketch, parents: list[Relation]) -> tuple[str, bool]:
    if not parents:
        rows = sketch.number(1, 3)
        return " union all ".join(
            f"select {id_} as id, '{'abc'[id_ - 1]}' as label" for id_ in range(1, rows + 1)
        ), False
    label = sketch.one_of(_LABELS)
    where = sketch.one_of(("", "", " where id > 1", " where id < {{ var('size', 3) }}"))
    sql = " union all ".join(
        f"select id, {label} as label from {{{{ {parent.reference} }}}}{where}" for parent in parents
    )
    plain = label == "label" and not where and len(parents) == 1
    if sketch.happens(10):
        sql = f"-- depends on: {{{{ {parents[-1].reference} }}}}\n{sql}"
    if sketch.happens(15):
        sql = f"select id, max(label) as label from ({sql}) as base group by id"
        plain = False
    return sql, plain


def _looks(sketch: Sketch, parent: Relation) -> str:
    """Jinja that asks the database or dbt's cache while the model is compiled."""
    return (
        sketch.one_of(
            (
                "{%% set rows = run_query('select count(*) as n from ' ~ %s) if execute %%}\n"
                "-- {{ rows.columns[0].values()[0] if execute }} rows\n",
                "{%% set there = adapter.get_relation(%s.database, %s.schema, %s.identifier) %%}\n"
                "-- {{ there is not none }}\n",
                "-- {{ load_relation(%s) is not none }}\n",
                "-- {{ adapter.get_columns_in_relation(%s) | map(attribute='name') | join(' ') if execute }}\n",
            )
        )
        .replace("%%", "%")
        .replace("%s", parent.reference)
    )


def _incremental(sketch: Sketch, config: dict[str, Any], sql: str) -> str:
    strategy = sketch.one_of((None, "append", "delete+insert", "merge", "nonsense"))
    if strategy == "nonsense" and sketch.happens(70):
        strategy = "append"
    if strategy:
        config["incremental_strategy"] = strategy
    if strategy in ("delete+insert", "merge") or sketch.happens(30):
        config["unique_key"] = sketch.one_of(("id", ["id", "label"]))
    if sketch.happens(40):
        config["on_schema_change"] = sketch.one_of(("ignore", "append_new_columns", "sync_all_columns", "fail"))
    if sketch.happens(15):
        config["full_refresh"] = sketch.one_of((True, False))
    body = f"select id, label from ({sql}) as base"
    return body + sketch.one_of(
        (
            "",
            "{% if is_incremental() %} where id > (select coalesce(max(id), 0) from {{ this }}){% endif %}",
            "{% if is_incremental() %} where label not in (select label from {{ this }}){% endif %}",
        )
    )


def _draw_config(sketch: Sketch, name: str, config: dict[str, Any]) -> None:
    if sketch.happens(30):
        config["tags"] = sketch.some_of(TAGS, least=1, most=2)
    if sketch.happens(15):
        config["schema"] = "extra"
    if sketch.happens(10):
        config["alias"] = f"{name}_alias"
    if sketch.happens(7):
        config["enabled"] = sketch.one_of((False, True))
    if sketch.happens(15):
        config["meta"] = {"owner": sketch.one_of(("me", "you")), "depth": sketch.number(0, 3)}
    if config["materialized"] != "ephemeral":
        for hook in ("pre_hook", "post_hook"):
            if sketch.happens(15):
                config[hook] = AUDIT % hook
    if sketch.happens(4):
        config["post_hook"] = "select * from nowhere_for_hooks"
    if sketch.happens(10):
        config["on_error"] = sketch.one_of(("continue", "skip_children"))
    if sketch.happens(8):
        config["group"] = sketch.one_of(GROUPS)
        config["access"] = sketch.one_of(("protected", "public", "private"))
    if sketch.happens(5):
        config["persist_docs"] = {"relation": True, "columns": True}


def _describe(sketch: Sketch, name: str) -> None:
    if sketch.happens(15):
        entry = sketch.entry("models", name)
        entry["description"] = sketch.one_of((f"what {name} is", "{{ doc('about') }}"))
        entry["columns"] = [{"name": "id", "description": "its number", "tags": ["key"]}]
        sketch.files["models/about.md"] = "{% docs about %}All *about* it.{% enddocs %}\n"
    if sketch.happens(8):
        entry = sketch.entry("models", name)
        entry.setdefault("config", {})["contract"] = {"enforced": True}
        entry["columns"] = [
            {"name": "id", "data_type": sketch.one_of(("integer", "integer", "text"))},
            {"name": "label", "data_type": "text"},
        ]
