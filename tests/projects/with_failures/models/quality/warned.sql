select id, label, qty from {{ ref('stg_items') }}
