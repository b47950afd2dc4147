-- Fails on the data and not on the names: the database accepts the statement and then cannot finish it.
select id, cast(amount as integer) as amount
from {{ ref('raw_events') }}
