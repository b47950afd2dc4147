{% if execute %}
    {{ there_is_no_such_macro(ref('stg_items')) }}
{% endif %}

select id from {{ ref('stg_items') }}
