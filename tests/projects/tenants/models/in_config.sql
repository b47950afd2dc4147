{{ config(schema=env_var('TENANT_AREA')) }}
select *, '{{ this.schema }}' as own_schema from {{ ref('in_sql') }}
