{# Every franchise sees its own city alone. #}
select order_id, quantity, price_cents, ordered_at::date as day
from {{ source('raw', 'orders') }}
join {{ source('raw', 'stands') }} using (stand_id)
join {{ source('raw', 'waffles') }} using (waffle_id)
where city = '{{ env_var("CITY", "Ghent") }}' and status = 'done'
