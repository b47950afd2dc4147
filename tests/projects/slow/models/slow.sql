select id, {{ pause(var('seconds')) }} as ticks
from {{ ref('before') }}
