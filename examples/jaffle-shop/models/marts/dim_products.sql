{{
    config(
        pre_hook="{{ audit_note('building') }}",
        post_hook=["analyze {{ this }}", "{{ audit_note('built') }}"]
    )
}}

select
    products.sku,
    products.product_name,
    products.category,
    products.unit_price,
    coalesce(sum(lines.quantity), 0) as units_sold,
    coalesce(sum(lines.line_amount), 0) as sales_amount,
    coalesce(sum(lines.line_margin), 0) as margin
from {{ ref('stg_products') }} as products
left join {{ ref('int_order_lines') }} as lines on lines.sku = products.sku
group by all
