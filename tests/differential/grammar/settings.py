"""dbt_project.yml: hooks, vars, flags and config by folder; macros; selectors.yml."""

from __future__ import annotations

from typing import Any

from tests.differential.grammar.selection import selection
from tests.differential.grammar.sketch import GROUPS, Sketch, dump

_MACROS = """\
{% macro shout(column) %}upper({{ column }}){% endmacro %}
{% macro note_results(results) %}
{% if results %}
insert into {{ target.schema }}.audit values
{% for result in results | sort(attribute='node.unique_id') %}('{{ result.node.unique_id }}',
 '{{ result.status }} {{ result.failures }} {{ result.node.config.materialized }}'){{ ', ' if not loop.last }}
{% endfor %}
{% else %}select 1 as nothing{% endif %}
{% endmacro %}
{% macro tell(word='nothing') %}
{% do log('told ' ~ word, info=true) %}{{ print('printed ' ~ word) }}
{% do run_query("create table if not exists " ~ target.schema ~ ".told as select '" ~ word ~ "' as word") %}
{% endmacro %}
{% macro fail() %}{% do run_query('select * from nowhere_for_operations') %}{% endmacro %}
{% test at_least(model, column_name, least) %}
select {{ column_name }} from {{ model }} where {{ column_name }} < {{ least }}
{% endtest %}
"""
_CREATE_AUDIT = "create table if not exists {{ target.schema }}.audit (event varchar(200), detail varchar(500))"
_STARTS = (
    "insert into {{ target.schema }}.audit values ('start', '{{ flags.WHICH }}')",
    "insert into {{ target.schema }}.audit values ('var', '{{ var('word', 'plain') }}')",
    "insert into {{ target.schema }}.audit values ('command', '{{ invocation_args_dict.invocation_command }}')",
    "select 1",
)
_ENDS = (
    "{{ note_results(results) }}",
    "insert into {{ target.schema }}.audit values ('end', '{{ schemas | sort | join(' ') }}')",
    "insert into {{ target.schema }}.audit values ('end', '{{ results | length }} {{ selected_resources | length }}')",
    "insert into {{ target.schema }}.audit values"
    " ('failed', '{{ results | selectattr('status', 'in', ['error', 'fail']) | list | length }}')",
)
_FAILING_HOOK = "select * from nowhere_at_all"
_FLAGS: tuple[tuple[str, Any], ...] = (
    ("fail_fast", True),
    ("store_failures", True),
    ("indirect_selection", "cautious"),
    ("indirect_selection", "buildable"),
    ("indirect_selection", "empty"),
    ("partial_parse", False),
    ("warn_error_options", {"error": ["NoNodesForSelectionCriteria"]}),
    ("full_refresh", True),
    ("state_modified_compare_more_unrendered_values", True),
    ("source_freshness_run_project_hooks", False),
    ("skip_nodes_if_on_run_start_fails", True),
    ("require_generic_test_arguments_property", True),
)


def add_settings(sketch: Sketch) -> None:
    """All of it."""
    settings = sketch.settings
    settings.update({"name": "shop", "version": "1.0", "profile": "shop"})
    sketch.files["macros/shop.sql"] = _MACROS
    starts, ends = [], []
    audited = any(".audit" in text for text in (*sketch.files.values(), dump(sketch.yaml)) if text != _MACROS)
    if audited or sketch.happens(40):
        starts.append(_CREATE_AUDIT)
        starts += sketch.some_of(_STARTS, most=2)
        ends += sketch.some_of(_ENDS, most=2)
    if sketch.happens(5):
        starts.append(_FAILING_HOOK)
    if sketch.happens(5):
        ends.append(_FAILING_HOOK)
    if starts:
        settings["on-run-start"] = starts
    if ends:
        settings["on-run-end"] = ends
    if sketch.happens(30):
        settings["vars"] = sketch.one_of(
            ({"word": "set"}, {"size": 2}, {"shop": {"word": "own"}, "word": "all"}, {"broken": False})
        )
    if sketch.happens(25):
        flags = dict(sketch.some_of(_FLAGS, least=1, most=2))
        if sketch.threads > 1:
            flags.pop("fail_fast", None)
        if flags:
            settings["flags"] = flags
    if "models" not in settings and sketch.happens(20):
        settings["models"] = {
            "shop": sketch.one_of(
                (
                    {"staging": {"+materialized": "table"}},
                    {"+tags": ["all"]},
                    {"marts": {"+schema": "marts", "+tags": "mart"}},
                    {"+post-hook": "select 1"},
                )
            )
        }
    if sketch.happens(10):
        settings["data_tests"] = {"+severity": "warn"}
    if any("group" in str(text) for text in (*sketch.files.values(), sketch.yaml)):
        sketch.yaml["groups"] = [{"name": name, "owner": {"name": f"the {name} team"}} for name in GROUPS]


def add_selectors(sketch: Sketch) -> None:
    """selectors.yml."""
    if not sketch.happens(30):
        return
    selectors: list[dict[str, Any]] = []
    for number in range(sketch.number(1, 2)):
        name = f"sel{number}"
        definition: Any = selection(sketch, simple=True)
        if sketch.happens(50):
            parts: list[Any] = [selection(sketch, simple=True) for _ in range(2)]
            if sketch.happens(40):
                parts.append({"exclude": [selection(sketch, simple=True)]})
            definition = {sketch.one_of(("union", "intersection")): parts}
        elif sketch.happens(40):
            definition = {
                "method": "fqn",
                "value": sketch.one_of([each.name for each in sketch.relations] or ["m0"]),
                "children": sketch.one_of((True, False)),
                "indirect_selection": sketch.one_of(("eager", "cautious", "buildable", "empty")),
            }
        selectors.append({"name": name, "definition": definition})
        sketch.selectors.append(name)
    if sketch.happens(15):
        selectors[0]["default"] = True
    sketch.files["selectors.yml"] = dump({"selectors": selectors})
