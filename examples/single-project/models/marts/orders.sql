{{ config(materialized='incremental', unique_key='order_id') }}

select
    stg_orders.order_id,
    stg_orders.customer_id,
    stg_stands.city,
    stg_waffles.name as waffle,
    stg_orders.quantity,
    stg_orders.quantity * stg_waffles.price as amount,
    stg_orders.status,
    stg_orders.ordered_at
from {{ ref('stg_orders') }} as stg_orders
join {{ ref('stg_stands') }} as stg_stands using (stand_id)
join {{ ref('stg_waffles') }} as stg_waffles using (waffle_id)
{% if is_incremental() %}
where stg_orders.ordered_at > (select max(ordered_at) from {{ this }})
{% endif %}
