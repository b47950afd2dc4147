select id, cast(qty * price as integer) as worth
from {{ ref('stg_items') }}
