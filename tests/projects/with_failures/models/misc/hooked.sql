{{
    config(
        pre_hook=["{{ log_hook('pre-hook', 'first') }}", "{{ log_hook('pre-hook', 'second') }}"],
        post_hook="{{ log_hook('post-hook', var('label')) }}"
    )
}}

select id from {{ ref('stg_items') }}
