{{ config(materialized='table') }}
select {{ tenant_label() }} as label, in_config.* from {{ ref('in_config') }} as in_config
