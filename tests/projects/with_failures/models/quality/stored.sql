select id, qty from {{ ref('stg_items') }}
