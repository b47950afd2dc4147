{#- The project keeps its own diary: which invocation ran, what it did, how it ended. -#}

{% macro audit_schema() -%}
    {{ target.schema }}_audit
{%- endmacro %}

{% macro create_audit_tables() %}
    create schema if not exists {{ audit_schema() }};
    create table if not exists {{ audit_schema() }}.runs (
        invocation_id varchar,
        command varchar,
        target_name varchar,
        event varchar,
        node_count integer,
        failed_count integer,
        recorded_at timestamp
    );
    create table if not exists {{ audit_schema() }}.nodes (
        invocation_id varchar,
        unique_id varchar,
        status varchar,
        execution_seconds double
    );
    create table if not exists {{ audit_schema() }}.notes (
        invocation_id varchar,
        relation varchar,
        note varchar
    );
{% endmacro %}

{% macro audit_run_started() %}
    insert into {{ audit_schema() }}.runs
    values ('{{ invocation_id }}', '{{ flags.WHICH }}', '{{ target.name }}', 'started', null, null, current_timestamp)
{% endmacro %}

{% macro audit_node_results(results) %}
    {%- if execute and results %}
    insert into {{ audit_schema() }}.nodes values
    {% for result in results -%}
    ('{{ invocation_id }}', '{{ result.node.unique_id }}', '{{ result.status }}', {{ result.execution_time }})
    {%- if not loop.last %},{% endif %}
    {% endfor %}
    {%- endif %}
{% endmacro %}

{% macro audit_run_finished(results) %}
    {%- if execute %}
    {%- set failed = results | selectattr('status', 'in', ['error', 'fail', 'runtime error']) | list | length %}
    insert into {{ audit_schema() }}.runs
    values (
        '{{ invocation_id }}', '{{ flags.WHICH }}', '{{ target.name }}', 'finished',
        {{ results | length }}, {{ failed }}, current_timestamp
    )
    {%- endif %}
{% endmacro %}

{% macro audit_note(note) %}
    insert into {{ audit_schema() }}.notes values ('{{ invocation_id }}', '{{ this }}', '{{ note }}')
{% endmacro %}
