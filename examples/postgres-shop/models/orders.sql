select
    order_id,
    customer,
    cast(ordered_at as date) as ordered_on,
    amount_cents / 100.0 as amount
from {{ ref('raw_orders') }}
