{# A scalar expression that takes about so many seconds, and that the database can interrupt meanwhile. #}
{% macro pause(seconds) -%}
    {{ return(adapter.dispatch('pause')(seconds)) }}
{%- endmacro %}

{% macro postgres__pause(seconds) -%}
    (select count(*) from pg_sleep({{ seconds }}))
{%- endmacro %}

{#
    DuckDB has sleep_ms in newer releases. One row at a time through a recursive query, so that it can be
    interrupted between two of the short sleeps. Older releases count through a cross join instead, which
    lasts at least as long on any machine of today and burns the processor meanwhile.
#}
{% macro duckdb__pause(seconds) -%}
    {%- set has_sleep = false -%}
    {%- if execute -%}
        {%- set found = run_query("select count(*) from duckdb_functions() where function_name = 'sleep_ms'") -%}
        {%- set has_sleep = found.rows[0][0] > 0 -%}
    {%- endif -%}
    {%- if has_sleep -%}
    (
        with recursive ticks as (
            select 1 as tick
            union all
            select tick + 1 from ticks where tick <= {{ seconds }} * 10 and sleep_ms(100) is null
        )
        select count(*) from ticks
    )
    {%- else -%}
    (
        select count(*)
        from range({{ seconds }} * 100000) as a(i), range(100000) as b(j)
        where (a.i * b.j + a.i) % 1000003 = 7
    )
    {%- endif -%}
{%- endmacro %}
