select city, sum(amount) as revenue
from {{ ref('order_amounts') }}
join {{ source('raw', 'stands') }} using (stand_id)
group by 1
