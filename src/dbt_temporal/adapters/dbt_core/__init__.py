"""The dbt engine on dbt-core: the worker's side here, the engine processes' side in `process`.

No module of this package but those below `process` may import dbt, and nothing in a worker imports those.
"""
