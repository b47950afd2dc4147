-- depends_on: {{ ref('raw_products') }}

select
    sku,
    name as product_name,
    category,
    {{ cents_to_amount('price_cents') }} as unit_price,
    {{ cents_to_amount('cost_cents') }} as unit_cost
from {{ source('shop', 'raw_products') }}
