select id, upper(label) as label
from {{ ref('stg_items') }}
