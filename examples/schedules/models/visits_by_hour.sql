{{
    config(
        materialized="incremental",
        incremental_strategy="microbatch",
        event_time="hour",
        batch_size="hour",
        begin="2026-01-01",
    )
}}

select
    date_trunc('hour', visited_at) as hour,
    count(*) as visits
from {{ ref("visits") }}
group by 1
