"""Whether to run a node twice leaves in the database what to run it once leaves.

As far as its materialization says: what hooks and macros do beside it nobody can know. Rules of dbt's own
materializations, dbt-adapters 1.24: `incremental` without a unique key adds rows whatever its strategy is, `merge`
and `delete+insert` with one replace them, those that replace whole partitions need none.
"""

from __future__ import annotations

from typing import Any

from dbt.node_types import NodeType
from dbt.task.run import RunTask

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun

_REPLACING = frozenset({"table", "view", "materialized_view", "dynamic_table", "ephemeral", "seed", "snapshot"})
_BY_KEY = frozenset({None, "", "default", "merge", "delete+insert"})
_BY_PARTITION = frozenset({"insert_overwrite", "microbatch", "replace_where"})


def is_repeatable(run: HostRun, unique_id: str) -> bool:
    """False for models that add rows, and for materializations of somebody's own, of which nothing is known."""
    node: Any = run.manifest.nodes.get(unique_id)
    if node is None or node.resource_type != NodeType.Model or not isinstance(run.task, RunTask):
        return True
    config = node.config
    if config.materialized in _REPLACING:
        return True
    if config.materialized != "incremental":
        return False
    anew = config.full_refresh if config.full_refresh is not None else run.flags.FULL_REFRESH
    strategy = config.incremental_strategy
    return bool(anew) or strategy in _BY_PARTITION or (strategy in _BY_KEY and bool(config.unique_key))
