select label, '{{ this.schema }}' as own_schema from {{ ref('by_macro') }}
