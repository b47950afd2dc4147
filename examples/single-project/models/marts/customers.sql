select
    stg_customers.customer_id,
    stg_customers.name,
    count(orders.order_id) as orders,
    coalesce(sum(orders.amount), 0) as amount
from {{ ref('stg_customers') }} as stg_customers
left join {{ ref('orders') }} as orders on orders.customer_id = stg_customers.customer_id and orders.status = 'done'
group by 1, 2
