select id, qty as amount, label
from {{ ref('stg_items') }}
