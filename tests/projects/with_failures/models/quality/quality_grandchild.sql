select count(*) as item_count from {{ ref('quality_child') }}
