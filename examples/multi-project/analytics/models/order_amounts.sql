{{ config(materialized='view') }}
select order_id, customer_id, stand_id, ordered_at::date as day, quantity * price_cents / 100.0 as amount
from {{ source('raw', 'orders') }}
join {{ source('raw', 'waffles') }} using (waffle_id)
where status = 'done'
