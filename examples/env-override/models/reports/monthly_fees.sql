select
    date_trunc('month', day)::date as month,
    '{{ env_var("CITY", "Ghent") }}' as city,
    round(sum(quantity * price_cents) / 100.0 * {{ fee_share() }}, 2) as fee
from {{ ref('city_orders') }}
group by 1
