{{ config(materialized='table') }}

select sum(worth) as worth from {{ ref('eph_worth') }}
