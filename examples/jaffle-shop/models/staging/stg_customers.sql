-- depends_on: {{ ref('raw_customers') }}

select
    id as customer_id,
    first_name || ' ' || last_name as customer_name,
    lower(email) as email,
    created_at as joined_at,
    updated_at
from {{ source('shop', 'raw_customers') }}
