-- Without a version, ref means the latest one.
select item_id from {{ ref('items') }}
