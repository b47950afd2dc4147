select city, ordered_at::date as day, count(*) as orders, sum(amount) as amount
from {{ ref('orders') }}
where status = 'done'
group by 1, 2
