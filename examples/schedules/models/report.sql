{{ config(materialized="incremental", unique_key="day") }}

select
    date '{{ var("day") }}' as day,
    (select count(*) from {{ ref("visits") }} where cast(visited_at as date) = date '{{ var("day") }}') as visits
