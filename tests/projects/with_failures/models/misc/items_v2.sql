select id as item_id, label as item_label from {{ ref('stg_items') }}
