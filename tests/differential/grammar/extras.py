"""Less common parts of a project, each now and then: versions, microbatch, functions, metrics, macros that override."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.differential.grammar.sketch import Relation, Sketch


def add_extras(sketch: Sketch) -> None:
    """Some of them."""
    for add in sketch.some_of(_EXTRAS, most=3):
        add(sketch)


def _versions(sketch: Sketch) -> None:
    for version in (1, 2):
        sketch.files[f"models/versioned_v{version}.sql"] = f"select {version} as id, 'v' as label\n"
    versions: list[dict[str, Any]] = [{"v": 1}, {"v": 2, "config": {"alias": "versioned_latest"}}]
    entry: dict[str, Any] = {"name": "versioned", "latest_version": sketch.one_of((1, 2)), "versions": versions}
    if sketch.happens(30):
        versions[0]["deprecation_date"] = "2024-01-01"
    sketch.add("models", entry)
    sketch.files["models/uses_versions.sql"] = (
        "select id, label from {{ ref('versioned', v=1) }} union all select id, label from {{ ref('versioned') }}\n"
    )
    sketch.relations.append(Relation("uses_versions", "ref('uses_versions')", "view"))


def _microbatch(sketch: Sketch) -> None:
    sketch.files["models/events.sql"] = (
        "{{ config(materialized='table', event_time='seen_at') }}\n"
        "select 1 as id, 'e' as label, cast('2024-05-05' as timestamp) as seen_at"
        " union all select 2, 'f', cast('2025-06-06' as timestamp)\n"
    )
    body = "select id, label, seen_at from {{ ref('events') }}"
    if sketch.happens(40):
        body += " where {{ model.batch is not none }} and id / (id - 2) < 9" if sketch.happens(50) else ""
    # PostgreSQL merges batches by a key, and DuckDB takes none.
    strategy = (
        "incremental_strategy='microbatch', event_time='seen_at', begin='2024-01-01', batch_size='year', "
        "unique_key=('id' if target.type == 'postgres' else none)"
    )
    sketch.files["models/batched.sql"] = f"{{{{ config(materialized='incremental', {strategy}) }}}}\n{body}\n"
    sketch.relations.append(Relation("batched", "ref('batched')", "incremental"))


def _function(sketch: Sketch) -> None:
    sketch.files["functions/doubled.sql"] = "n * 2\n"
    sketch.files["functions/functions.yml"] = (
        "functions:\n  - name: doubled\n    arguments: [{name: n, data_type: integer}]\n"
        "    returns: {data_type: integer}\n"
    )
    sketch.files["models/uses_function.sql"] = "select {{ function('doubled') }}(2) as id, 'f' as label\n"
    sketch.relations.append(Relation("uses_function", "ref('uses_function')", "view"))


def _schema_names(sketch: Sketch) -> None:
    sketch.files["macros/names.sql"] = (
        "{% macro generate_schema_name(custom, node) %}{{ target.schema }}{{ '__' ~ custom if custom }}{% endmacro %}\n"
        "{% macro generate_alias_name(custom_alias_name=none, node=none) %}"
        "{{ custom_alias_name or node.name }}{{ '_x' if node.resource_type == 'model' and target.name == 'prod' }}"
        "{% endmacro %}\n"
    )


def _materialization(sketch: Sketch) -> None:
    sketch.files["macros/twice.sql"] = (
        "{% materialization twice, default %}\n"
        "{% set made = this.incorporate(type='table') %}\n"
        "{% call statement('main') %}create or replace view {{ this }} as ({{ sql }}){% endcall %}\n"
        "{% do adapter.commit() if false %}\n"
        "{{ return({'relations': [this.incorporate(type='view')]}) }}\n"
        "{% endmaterialization %}\n"
    )
    sketch.files["models/made_twice.sql"] = "{{ config(materialized='twice') }} select 1 as id, 't' as label\n"
    sketch.relations.append(Relation("made_twice", "ref('made_twice')", "view"))


def _analysis(sketch: Sketch) -> None:
    sketch.files["analyses/look.sql"] = "select count(*) as n from {{ ref('%s') }}\n" % (_a_model(sketch) or "nothing")


def _metrics(sketch: Sketch) -> None:
    sketch.files["models/days.sql"] = "{{ config(materialized='table') }} select cast('2024-01-01' as date) as day\n"
    sketch.files["models/sold.sql"] = "select 1 as id, cast('2024-01-01' as date) as day, 5 as amount, 'm' as label\n"
    sketch.files["models/metrics.yml"] = _METRICS
    sketch.relations.append(Relation("sold", "ref('sold')", "view"))


def _config_by_jinja(sketch: Sketch) -> None:
    sketch.settings["models"] = {
        "shop": {"+enabled": "{{ var('on', true) }}", "+meta": {"by": "{{ env_var('SHOP_FLAVOUR', 'nobody') }}"}}
    }


def _query_comment(sketch: Sketch) -> None:
    sketch.settings["query-comment"] = sketch.one_of(("run by {{ target.name }}", {"comment": "x", "append": True}, ""))


def _sql_header(sketch: Sketch) -> None:
    sketch.files["models/headed.sql"] = (
        "{{ config(materialized='table') }}{% call set_sql_header(config) %}select 1;{% endcall %}\n"
        "select 1 as id, 'h' as label\n"
    )


def _constraints(sketch: Sketch) -> None:
    sketch.files["models/strict.sql"] = "{{ config(materialized='table') }} select 1 as id, 'c' as label\n"
    null = sketch.one_of(({"type": "not_null"}, {"type": "check", "expression": "id > 1"}))
    columns = [
        {"name": "id", "data_type": "integer", "constraints": [null]},
        {"name": "label", "data_type": sketch.one_of(("text", "integer"))},
    ]
    sketch.add("models", {"name": "strict", "config": {"contract": {"enforced": True}}, "columns": columns})
    sketch.relations.append(Relation("strict", "ref('strict')", "table"))


def _deprecated(sketch: Sketch) -> None:
    model = _a_model(sketch)
    if model:
        sketch.entry("models", model)["nonsense_key"] = "x"
        sketch.files["models/other.yml"] = "models:\n  - name: nobody_has_this_name\n    description: d\n"


def _a_model(sketch: Sketch) -> str | None:
    models = sketch.models()
    return models[0].name if models else None


_METRICS = """\
models:
  - name: days
    time_spine: {standard_granularity_column: day}
    columns: [{name: day, granularity: day}]
semantic_models:
  - name: sales
    model: ref('sold')
    defaults: {agg_time_dimension: day}
    entities: [{name: id, type: primary}]
    dimensions: [{name: day, type: time, type_params: {time_granularity: day}}]
    measures: [{name: amount, agg: sum}]
metrics:
  - {name: amount, label: Amount, type: simple, type_params: {measure: amount}}
saved_queries:
  - name: by_day
    query_params: {metrics: [amount], group_by: ["TimeDimension('id__day', 'day')"]}
    exports: [{name: by_day, config: {export_as: table}}]
"""
_EXTRAS: tuple[Callable[[Sketch], None], ...] = (
    _versions,
    _microbatch,
    _function,
    _schema_names,
    _materialization,
    _analysis,
    _metrics,
    _config_by_jinja,
    _query_comment,
    _sql_header,
    _constraints,
    _deprecated,
)
