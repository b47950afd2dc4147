{# Not dbt's own pattern, so that nobody can patch names after the fact and be right. #}
{% macro generate_schema_name(custom_schema_name, node) %}
    {%- if custom_schema_name is none -%} {{ target.schema }}
    {%- else -%} {{ custom_schema_name | trim }}__for__{{ env_var('TENANT') }}__in__{{ target.schema }}
    {%- endif -%}
{% endmacro %}

{% macro generate_database_name(custom_database_name=none, node=none) %}
    {{- env_var('TENANT_DATABASE') -}}
{% endmacro %}

{% macro generate_alias_name(custom_alias_name=none, node=none) %}
    {%- if node.name == 'by_macro' -%} by_macro_{{ env_var('TENANT') }}
    {%- else -%} {{ custom_alias_name or node.name }}
    {%- endif -%}
{% endmacro %}

{% macro tenant_label() %}
    'tenant {{ env_var("TENANT") }} of {{ env_var("TENANT_AREA") }}'
{% endmacro %}
