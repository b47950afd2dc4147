select waffle_id, name, price_cents / 100.0 as price from {{ source('raw', 'waffles') }}
