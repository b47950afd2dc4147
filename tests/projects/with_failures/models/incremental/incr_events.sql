{{ config(unique_key='id') }}

select id, item_id, event_at, {{ 'true' if is_incremental() else 'false' }} as written_incrementally
from {{ ref('stg_events') }}
{% if is_incremental() %}
where event_at >= (select max(event_at) from {{ this }})
{% endif %}
