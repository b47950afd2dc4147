"""How much the engine holds at once on one worker."""

from __future__ import annotations

import os

from dbt_temporal.adapters.environment import EnvironmentModel, variable

_A_COUNT = "a whole number of at least 1"
MEGABYTE = 1024 * 1024


def usable_cores() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has none
        return os.cpu_count() or 1


class EngineLimits(EnvironmentModel):
    """The DBT_TEMPORAL_* variables about engine processes. None means no limit.

    Attributes:
        max_hosts: run hosts at once: a run beyond it waits until a host of another run is between nodes.
        run_hosts: of one run, where several processes may work in its database, and its nodes keep a host busy; None
            means as many as there are processors.
        host_idle_secs: a host without requests for that long is ended.
        host_memory_mb: a host that holds more memory of its own (in MiB; not what it shares with its project) gets no
            further nodes: a new host takes the next one.
        max_projects: parsed projects kept in memory; those in use, and the one that was used last, are never evicted.
        projects_memory_mb: memory of all parsed projects together (in MiB), by the same rule.
        asking_parse_secs: how long a parse is kept for further runs, where a plugin asked a network while dbt parsed:
            no file tells whether it would hear the same again.
        shortcuts: whether some of dbt's functions, which do much for each node, are replaced by ones that do less.
    """

    max_hosts: int | None = variable("DBT_TEMPORAL_MAX_HOSTS", None, allowed=_A_COUNT, ge=1)
    run_hosts: int | None = variable("DBT_TEMPORAL_RUN_HOSTS", None, allowed=_A_COUNT, ge=1)
    host_idle_secs: float = variable(
        "DBT_TEMPORAL_HOST_IDLE_SECS", 120.0, allowed="a number of seconds above 0", gt=0, allow_inf_nan=False
    )
    host_memory_mb: int | None = variable("DBT_TEMPORAL_HOST_MEMORY_MB", None, allowed=_A_COUNT, ge=1)
    max_projects: int = variable("DBT_TEMPORAL_MAX_PARSED_PROJECTS", 8, allowed=_A_COUNT, ge=1)
    projects_memory_mb: int = variable("DBT_TEMPORAL_PARSED_PROJECTS_MB", 4096, allowed=_A_COUNT, ge=1)
    asking_parse_secs: float = variable(
        "DBT_TEMPORAL_ASKING_PARSE_SECS", 0.0, allowed="a number of seconds of at least 0", ge=0, allow_inf_nan=False
    )

    shortcuts: bool = variable("DBT_TEMPORAL_DBT_SHORTCUTS", True, allowed="true or false")

    @property
    def hosts_of_a_run(self) -> int:
        return self.run_hosts or usable_cores()

    @property
    def projects_memory_bytes(self) -> int:
        return self.projects_memory_mb * MEGABYTE

    @property
    def host_memory_bytes(self) -> int | None:
        return None if self.host_memory_mb is None else self.host_memory_mb * MEGABYTE
