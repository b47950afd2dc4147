select id, amount from {{ ref('bad_seed') }}
