-- Compiled by `dbt compile`, run by hand.
select category, product_name, units_sold
from {{ ref('dim_products') }}
qualify row_number() over (partition by category order by units_sold desc) = 1
