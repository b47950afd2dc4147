select id from {{ ref('warned') }}
