select order_id, customer_id, stand_id, waffle_id, quantity, status, ordered_at, ordered_at::date as ordered_on
from {{ source('raw', 'orders') }}
