select id from {{ ref('compile_error') }}
