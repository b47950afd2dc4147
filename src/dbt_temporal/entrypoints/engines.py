"""Which engines a worker has: those that are installed, and those that it was told to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, distribution

from dbt_temporal.adapters.dbt_v2.binary import find_binary
from dbt_temporal.application.ports.engine import DbtEngine
from dbt_temporal.entrypoints.settings import Settings

DBT_CORE, V2 = "dbt-core", "v2"


def engines_here(
    settings: Settings,
    environ: Mapping[str, str],
    dbt_core: Callable[[], DbtEngine],
    v2: Callable[[], DbtEngine],
) -> dict[str, DbtEngine]:
    """The engines of a worker, by the names that dbt_temporal.yml gives them. There is always one."""
    named = settings.projects.engine
    has_v2 = named == V2 or settings.v2.binary is not None or find_binary(None, environ) is not None
    engines: dict[str, DbtEngine] = {}
    if named == DBT_CORE or not has_v2 or _has_dbt_core():
        engines[DBT_CORE] = dbt_core()
    if has_v2:
        engines[V2] = v2()
    return engines


def default_engine(settings: Settings, engines: Mapping[str, DbtEngine]) -> str:
    """The engine of projects that name none: DBT_TEMPORAL_ENGINE, else dbt-core where it is installed."""
    return settings.projects.engine or (DBT_CORE if DBT_CORE in engines else V2)


def _has_dbt_core() -> bool:
    try:
        distribution("dbt-core")
    except PackageNotFoundError:
        return False
    return True
