select tenant, '{{ this.schema }}' as own_schema from {{ ref('in_config') }}
