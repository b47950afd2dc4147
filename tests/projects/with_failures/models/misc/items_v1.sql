select id, label from {{ ref('stg_items') }}
