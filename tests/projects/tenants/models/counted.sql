{{ config(materialized='incremental') }}
select '{{ env_var("TENANT") }}' as tenant, '{{ invocation_id }}' as invocation, '{{ is_incremental() }}' as incremental
