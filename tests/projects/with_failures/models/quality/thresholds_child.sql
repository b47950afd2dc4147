select id from {{ ref('thresholds') }}
