select id from {{ ref('stg_items') }}
