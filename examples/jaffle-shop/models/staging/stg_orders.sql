-- depends_on: {{ ref('raw_orders') }}

select
    id as order_id,
    customer_id,
    ordered_at,
    cast(ordered_at as date) as order_date,
    status,
    _loaded_at as loaded_at
from {{ source('shop', 'raw_orders') }}
where ordered_at >= cast('{{ var("first_business_day") }}' as date)
