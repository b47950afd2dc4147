{{ config(alias='renamed', schema='other', tags=['aliased', var('label') | replace(' ', '_')]) }}

select id from {{ ref('stg_items') }}
