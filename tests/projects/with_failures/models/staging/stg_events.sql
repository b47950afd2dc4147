{{ config(materialized='view', event_time='event_at') }}

select id, item_id, event_at, amount
from {{ ref('raw_events') }}
