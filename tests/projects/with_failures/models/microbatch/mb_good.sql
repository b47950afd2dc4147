{{
    config(
        materialized='incremental',
        incremental_strategy='microbatch',
        unique_key=('id' if target.type == 'postgres' else none),
        event_time='event_at',
        begin='2023-01-01',
        batch_size=var('batch_size', 'year'),
        lookback=1
    )
}}

select id, item_id, event_at
from {{ ref('stg_events') }}
