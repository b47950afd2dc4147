select id, label from {{ ref('bad_quality') }}
