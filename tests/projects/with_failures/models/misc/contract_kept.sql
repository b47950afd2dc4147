{{ config(materialized='table') }}

select id, label
from {{ ref('stg_items') }}
where label is not null
