{{
    config(
        materialized='incremental',
        unique_key='order_id',
        incremental_strategy='delete+insert',
        on_schema_change='append_new_columns',
        tags=['daily']
    )
}}

with orders as (

    select * from {{ ref('stg_orders') }}
    {% if is_incremental() %}
    -- Orders of the last three loaded days come again, because their status may have changed.
    where loaded_at >= (select max(loaded_at) - interval 3 day from {{ this }})
    {% endif %}

),

lines as (

    select
        order_id,
        sum(quantity) as item_count,
        sum(line_amount) as gross_amount,
        sum(line_margin) as margin
    from {{ ref('int_order_lines') }}
    group by order_id

)

select
    orders.order_id,
    orders.customer_id,
    orders.order_date,
    orders.status,
    cast(coalesce(lines.item_count, 0) as integer) as item_count,
    cast(coalesce(lines.gross_amount, 0) as decimal(12, 2)) as gross_amount,
    cast(coalesce(lines.margin, 0) as decimal(12, 2)) as margin,
    cast(coalesce(payments.paid_amount, 0) as decimal(12, 2)) as paid_amount,
    orders.status = 'returned' as is_returned,
    orders.loaded_at
from orders
left join lines on lines.order_id = orders.order_id
left join {{ ref('int_order_payments') }} as payments on payments.order_id = orders.order_id
