select customer_id, name, email, signed_up_on from {{ source('raw', 'customers') }}
