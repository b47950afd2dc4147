{{ config(materialized='view') }}

select worth.id, worth.worth, base.qty
from {{ ref('eph_worth') }} as worth
inner join {{ ref('eph_base') }} as base on base.id = worth.id
