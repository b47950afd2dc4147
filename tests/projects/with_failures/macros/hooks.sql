{# The table that all hooks of the project write to. #}
{% macro hook_log() -%}
    {{ api.Relation.create(database=target.database, schema=target.schema, identifier='hook_log') }}
{%- endmacro %}

{% macro log_hook(hook, detail='') %}
    insert into {{ hook_log() }}
    values ('{{ invocation_id }}', '{{ hook }}', '{{ this.identifier }}', '{{ detail }}')
{% endmacro %}

{# One row for each status and how often it came. #}
{% macro log_result_counts(results) %}
    {%- if execute and results %}
    insert into {{ hook_log() }} values
    {%- for status, group in results | groupby('status') %}
    ('{{ invocation_id }}', 'on-run-end', '{{ status }}', '{{ group | length }}')
    {%- if not loop.last %},{% endif %}
    {%- endfor %}
    {%- endif %}
{% endmacro %}
