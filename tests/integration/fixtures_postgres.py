"""Pytest fixtures for tests that need PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.postgres import PostgresDatabase, running_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresDatabase]:
    """One server for all tests; its own database is for administration."""
    with running_postgres() as database:
        yield database


@pytest.fixture
def postgres(postgres_server: PostgresDatabase, request: pytest.FixtureRequest) -> Iterator[PostgresDatabase]:
    """An empty database for one test, dropped afterwards."""
    with postgres_server.fresh_database(request.node.name) as database:
        yield database
