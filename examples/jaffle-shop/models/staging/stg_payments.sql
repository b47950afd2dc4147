-- depends_on: {{ ref('raw_payments') }}

select
    id as payment_id,
    order_id,
    method as payment_method,
    {{ cents_to_amount('amount_cents') }} as amount
from {{ source('shop', 'raw_payments') }}
