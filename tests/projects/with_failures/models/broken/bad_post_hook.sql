{{ config(post_hook="insert into no_hook_log values (1)") }}

select id from {{ ref('stg_items') }}
