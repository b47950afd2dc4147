"""Fixtures in place of those of dbt's own, and the choice of what runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dbt.adapters.base.impl import DEFAULT_BASE_BEHAVIOR_FLAGS

from tests.conformance.databases import DATABASES, GRANTEES, prepared_postgres, profile_target
from tests.conformance.routing import Router
from tests.conformance.verdicts import OURS, Verdicts
from tests.conformance.worker.client import ServiceClient, running_service
from tests.conftest import in_share
from tests.integration.postgres import PostgresDatabase

ROUTER = Router()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make conformance` says."""
    parser.addoption("--database", action="append", choices=DATABASES, help="of the scenarios; all by default")
    parser.addoption("--verdicts", type=Path, help="the file that the verdicts are written to, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Brings dbt's fixtures in, and what compares."""
    config.pluginmanager.import_plugin("dbt.tests.fixtures.project")
    # The reports of all processes come to the first one.
    path = None if hasattr(config, "workerinput") else config.getoption("--verdicts")
    config.pluginmanager.register(Verdicts(ROUTER, path), "conformance-verdicts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out scenarios that are not to run."""
    databases = config.getoption("--database") or DATABASES
    left_out = [item for item in items if not _is_chosen(item, databases, config.getoption("--share"))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_chosen(item: pytest.Item, databases: Sequence[str], share: int) -> bool:
    scenario: Any = getattr(item, "cls", None)
    database = getattr(scenario, "conformance_database", None)
    if database is None:
        return True  # a test of something else
    return database in databases and in_share(f"{database} {scenario.conformance_scenario}", share)


@pytest.fixture(scope="session", autouse=True)
def _session_environment() -> None:
    # As the scenarios' own projects say it; some write a project without it.
    os.environ.update({"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **GRANTEES})


_FLAGS_OF_NO_ADAPTER = len(DEFAULT_BASE_BEHAVIOR_FLAGS)


@pytest.fixture(autouse=True)
def _flags_of_one_adapter() -> Iterator[None]:
    """Each adapter that dbt makes adds its flags to one list of the process, and goes through all of them: after some
    hundred tests that takes seconds each time. Counted from the beginning: adapters of classes come before the test."""
    yield
    del DEFAULT_BASE_BEHAVIOR_FLAGS[_FLAGS_OF_NO_ADAPTER:]


@pytest.fixture(scope="session")
def service(_session_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceClient]:
    """A server and a worker, for all scenarios of this process."""
    with running_service(tmp_path_factory.mktemp("service"), dict(os.environ)) as client:
        yield client


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[PostgresDatabase]:
    """A database of this process."""
    with prepared_postgres() as database:
        yield database


@pytest.fixture(scope="class")
def dbt_profile_target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Where the scenario's relations are."""
    name = request.cls.conformance_database
    database = request.getfixturevalue("postgres_database") if name == "postgres" else None
    return profile_target(name, tmp_path_factory.mktemp("database"), database)


@pytest.fixture(scope="class")
def logs_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """dbt's own would lie in the repository."""
    folder = str(tmp_path_factory.mktemp("logs"))
    os.environ["DBT_LOG_PATH"] = folder
    yield folder
    os.environ.pop("DBT_LOG_PATH", None)


@pytest.fixture(scope="class", autouse=True)
def _route(request: pytest.FixtureRequest, _session_environment: None) -> Iterator[None]:
    """Sends the scenario's command lines where its mode says."""
    if getattr(request.cls, "conformance_mode", None) == OURS:
        ROUTER.service = request.getfixturevalue("service")
    yield
    ROUTER.service = None
