select id from {{ ref('mb_partial') }}
