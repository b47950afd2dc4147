select
    '{{ env_var("TENANT") }}' as tenant,
    '{{ target.name }}' as target_name,
    {{ var('factor', 1) }} * sum(price) as total
from {{ ref('raw_items') }}
