-- The orders are read from staging and not from fct_orders, whose tests point back at this model.
with orders as (

    select
        orders.customer_id,
        count(*) as order_count,
        min(orders.order_date) as first_order_date,
        max(orders.order_date) as latest_order_date,
        sum(payments.paid_amount) as lifetime_value
    from {{ ref('stg_orders') }} as orders
    left join {{ ref('int_order_payments') }} as payments on payments.order_id = orders.order_id
    where orders.status <> 'returned'
    group by orders.customer_id

)

select
    customers.customer_id,
    customers.customer_name,
    customers.joined_at,
    coalesce(orders.order_count, 0) as order_count,
    orders.first_order_date,
    orders.latest_order_date,
    coalesce(orders.lifetime_value, 0) as lifetime_value,
    case
        when coalesce(orders.order_count, 0) >= {{ var('regular_from_orders') }} then 'regular'
        when orders.order_count >= 2 then 'occasional'
        else 'new'
    end as segment
from {{ ref('stg_customers') }} as customers
left join orders on orders.customer_id = customers.customer_id
