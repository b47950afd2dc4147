select id from {{ ref('contract_mismatch') }}
