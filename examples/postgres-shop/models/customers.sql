select
    customer,
    min(ordered_on) as first_order_on,
    count(*) as orders,
    sum(amount) as lifetime_value
from {{ ref('orders') }}
group by customer
