{{ config(materialized='view') }}

select
    id,
    code,
    label,
    qty,
    price,
    updated_at,
    '{{ env_var("WITH_FAILURES_LABEL", "none") }}' as env_label,
    '{{ var("label") }}' as var_label
from {{ ref('raw_items') }}
where qty >= {{ var('min_qty') }} or id = 5
