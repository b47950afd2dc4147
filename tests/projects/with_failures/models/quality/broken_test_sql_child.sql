select id from {{ ref('broken_test_sql') }}
