{{ config(materialized='table') }}

select id from {{ ref('eph_broken_user') }}
