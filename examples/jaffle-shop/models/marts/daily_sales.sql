{{ config(tags=['daily']) }}

select
    order_date,
    count(*) as order_count,
    sum(item_count) as item_count,
    sum(gross_amount) as gross_amount,
    sum(case when is_returned then 0 else paid_amount end) as net_amount,
    {{ share('count(*) filter (where is_returned)', 'count(*)') }} as return_share
from {{ ref('fct_orders') }}
group by order_date
