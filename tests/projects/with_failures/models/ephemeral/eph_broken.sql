{% if execute %}
    {{ exceptions.raise_compiler_error('eph_broken is meant to fail') }}
{% endif %}

select id from {{ ref('stg_items') }}
