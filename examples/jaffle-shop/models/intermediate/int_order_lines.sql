select
    items.order_item_id,
    items.order_id,
    items.sku,
    products.product_name,
    products.category,
    items.quantity,
    items.quantity * products.unit_price as line_amount,
    items.quantity * (products.unit_price - products.unit_cost) as line_margin
from {{ ref('stg_order_items') }} as items
inner join {{ ref('stg_products') }} as products on products.sku = items.sku
