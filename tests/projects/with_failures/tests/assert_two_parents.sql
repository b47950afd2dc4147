-- Fails with one row, and stands between its two parents and their children.
select warned.id
from {{ ref('warned') }} as warned
inner join {{ ref('unit_tested_well') }} as well on well.id = warned.id
where warned.id = 1
