{{ config(materialized='view') }}

select
    segment,
    count(*) as customer_count,
    sum(order_count) as order_count,
    sum(lifetime_value) as lifetime_value,
    {{ share('sum(lifetime_value)', 'sum(order_count)') }} as amount_per_order
from {{ ref('dim_customers') }}
group by segment
