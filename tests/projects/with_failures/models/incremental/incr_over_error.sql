{{ config(unique_key='id') }}

select id from {{ ref('sql_error') }}
