{{ config(materialized='view') }}

select id from {{ ref('sql_error') }}
