{{ config(materialized="view", event_time="visited_at") }}

-- One visit in each quarter of an hour of 2026.
select
    number as visit_id,
    timestamp '2026-01-01' + to_minutes(number * 15) as visited_at
from range(365 * 96) as quarters(number)
