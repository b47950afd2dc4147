"""A dbt project that compares relations: an analysis for each, whose compiled text is what it has found.

As nodes of dbt they are compiled in its threads, by its adapter and its words for the database, and what goes wrong
with one concerns it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
import yaml

from dbt_temporal.adapters.project_files import PROJECT_FILE
from dbt_temporal.domain.engine_comparison import Column, Place, RelationsCompared
from dbt_temporal.domain.results import NodeExecutionResult

NAME = "dbt_temporal_comparison"
_MACROS = """
{% macro comparable(column) %}
  {%- if column.data_type | lower in ['json', 'xml', 'point', 'box', 'polygon', 'variant', 'super'] -%}
    cast({{ column.quoted }} as {{ type_string() }})
  {%- else -%}
    {{ column.quoted }}
  {%- endif -%}
{% endmacro %}

{# Rows of one relation that the other has not, or not as often. #}
{% macro only_in_first(first, second, columns, names) %}
  select {{ columns | join(', ') }}, count(*) as dbt_temporal_copies from {{ first }}
  group by {% for _ in columns %}{{ loop.index }}{{ ', ' if not loop.last }}{% endfor %}
  {{ except() }}
  select {{ columns | join(', ') }}, count(*) as dbt_temporal_copies from {{ second }}
  group by {% for _ in columns %}{{ loop.index }}{{ ', ' if not loop.last }}{% endfor %}
{% endmacro %}

{% macro counted(statement) %}
  {% set found = run_query('select count(*) from (' ~ statement ~ ') as dbt_temporal_counted') %}
  {{ return(found.columns[0].values()[0] | int) }}
{% endmacro %}

{% macro first_rows(statement, examples) %}
  {% set rows = [] %}
  {% for row in run_query('select * from (' ~ statement ~ ') as dbt_temporal_rows limit ' ~ examples).rows %}
    {% set texts = {} %}
    {% for name in row.keys() %}
      {% do texts.update({name: none if row[name] is none else row[name] | string}) %}
    {% endfor %}
    {% do rows.append(texts) %}
  {% endfor %}
  {{ return(rows) }}
{% endmacro %}

{% macro compare_relations(places, examples) %}
  {% if execute %}
    {% set relations, columns, by_name, found = [], [], [], {} %}
    {% for place in places %}
      {% set relation = adapter.get_relation(place['database'], place['schema'], place['identifier']) %}
      {% if relation is none %}
        {% set name = place['schema'] ~ '.' ~ place['identifier'] %}
        {% do exceptions.raise_compiler_error(name ~ ' is not in the database') %}
      {% endif %}
      {% do relations.append(relation) %}
      {% set of_relation = adapter.get_columns_in_relation(relation) %}
      {% set names, told = {}, [] %}
      {% for column in of_relation %}
        {% do names.update({column.name: column}) %}
        {% do told.append({'name': column.name, 'type': column.data_type}) %}
      {% endfor %}
      {% do by_name.append(names) %}
      {% do columns.append(told) %}
    {% endfor %}
    {% do found.update({'columns': columns}) %}
    {% set shared = [] %}
    {% for name in by_name[0] if name in by_name[1] %}{% do shared.append(name) %}{% endfor %}
    {% if shared %}
      {% set quoted = [] %}
      {% for name in shared %}{% do quoted.append(comparable(by_name[0][name])) %}{% endfor %}
      {% set first = only_in_first(relations[0], relations[1], quoted) %}
      {% set second = only_in_first(relations[1], relations[0], quoted) %}
      {% set only = [counted(first), counted(second)] %}
      {% do found.update({'only': only, 'counts': [
        counted('select 1 as one from ' ~ relations[0]), counted('select 1 as one from ' ~ relations[1])
      ]}) %}
      {% if only[0] or only[1] %}
        {% set differing = [] %}
        {% for column in quoted %}
          {% set one = only_in_first(relations[0], relations[1], [column]) %}
          {% set other = only_in_first(relations[1], relations[0], [column]) %}
          {% if counted(one) or counted(other) %}{% do differing.append(shared[loop.index0]) %}{% endif %}
        {% endfor %}
        {% do found.update({'differing': differing}) %}
        {% if examples %}
          {% do found.update({'examples': [first_rows(first, examples), first_rows(second, examples)]}) %}
        {% endif %}
      {% endif %}
    {% endif %}
    {{ tojson(found) }}
  {% endif %}
{% endmacro %}
"""


def write_project(
    folder: Path, profile: str, pairs: Mapping[str, tuple[Place, Place]], examples: int
) -> dict[str, str]:
    """Writes it.

    Args:
        folder: where to.
        profile: the user's, by its name.
        pairs: by node, where both relations are.
        examples: how many differing rows of each side are shown.

    Returns:
        by unique_id of the project's analyses, the node whose relations each compares.
    """
    (folder / "macros").mkdir(parents=True, mode=0o700)
    (folder / "analyses").mkdir()
    (folder / "macros" / "compare.sql").write_text(_MACROS, encoding="utf-8")
    content = {"name": NAME, "version": "1.0", "profile": profile}
    (folder / PROJECT_FILE).write_text(yaml.safe_dump(content), encoding="utf-8")
    analyses: dict[str, str] = {}
    for number, (unique_id, places) in enumerate(pairs.items()):
        name = f"compare_{number}"
        told = [{"database": p.database, "schema": p.schema, "identifier": p.identifier} for p in places]
        # As a string of Jinja's, in which JSON's own escapes stay.
        literal = orjson.dumps(orjson.dumps(told).decode()).decode()
        text = f"{{{{ compare_relations(fromjson({literal}), {examples}) }}}}\n"
        (folder / "analyses" / f"{name}.sql").write_text(text, encoding="utf-8")
        analyses[f"analysis.{NAME}.{name}"] = unique_id
    return analyses


def read_result(result: NodeExecutionResult) -> RelationsCompared:
    """What an analysis of the project has found."""
    if result.status != "success" or not result.compiled_code:
        return RelationsCompared(problem=result.message or f"dbt has told nothing of it (status {result.status})")
    found = orjson.loads(result.compiled_code)
    first, second = ([Column(**column) for column in columns] for columns in found["columns"])
    return RelationsCompared(
        columns=(first, second),
        counts=tuple(found["counts"]) if "counts" in found else None,
        only=tuple(found.get("only", (0, 0))),
        differing=tuple(found.get("differing", ())),
        examples=tuple(found.get("examples", ((), ()))),
    )
