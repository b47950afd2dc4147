select sum(worth) as worth from {{ ref('unit_tested') }}
