select id, qty, price from {{ ref('stg_items') }} where qty > 0
