select id, qty * price as worth from {{ ref('eph_base') }}
