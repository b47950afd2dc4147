select child.id
from {{ ref('sql_error_child') }} as child
inner join {{ ref('stg_items') }} as items on items.id = child.id
