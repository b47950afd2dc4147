-- Jinja fails only while dbt executes; parsing goes well.
{% if execute %}
    {{ exceptions.raise_compiler_error('compile_error is meant to fail') }}
{% endif %}

select id from {{ ref('stg_items') }}
