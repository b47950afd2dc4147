select id from {{ ref('sql_error') }}
