"""Servers for the faults: those of the integration tests."""

from tests.integration.conftest import (
    dbt_engine,
    no_task_outlives_the_server,
    postgres,
    postgres_server,
    temporal_address,
    temporal_client,
)

__all__ = [
    "dbt_engine",
    "no_task_outlives_the_server",
    "postgres",
    "postgres_server",
    "temporal_address",
    "temporal_client",
]
