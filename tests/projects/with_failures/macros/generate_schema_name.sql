{# Two underscores, so that a schema named here cannot be mistaken for one of dbt's default names. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none -%}
        {{ target.schema }}
    {%- else -%}
        {{ target.schema }}__{{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}
