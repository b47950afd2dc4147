{{ config(severity='warn') }}

select order_id, ordered_at
from {{ ref('stg_orders') }}
where extract('hour' from ordered_at) < 7
