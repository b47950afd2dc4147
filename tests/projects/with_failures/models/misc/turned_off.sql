{{ config(enabled=false) }}

select id from {{ ref('stg_items') }}
