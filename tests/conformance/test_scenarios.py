"""Each scenario on each database, twice: by dbt's command line and by us. The classes are made of what is installed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import ROUTER
from tests.conformance.databases import DATABASES, OVERRIDES
from tests.conformance.scenarios import Scenario, scenarios
from tests.conformance.verdicts import CLI, OURS


class _Placed:
    """What a scenario needs where its class is not collected from its own module."""

    conformance_folder: Path

    @pytest.fixture(scope="class")
    def test_data_dir(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A copy of the scenario's data: some write there."""
        folder: Path = tmp_path_factory.mktemp("files") / "data"
        if (self.conformance_folder / "data").is_dir():
            shutil.copytree(self.conformance_folder / "data", folder)
        return folder

    @pytest.fixture(scope="class")
    def project_setup(self, project_setup: Any) -> Any:
        """The project, which finds its data files beside the scenario's module."""
        project_setup.test_dir = str(self.conformance_folder)
        return project_setup


def _test_class(scenario: Scenario, database: str, mode: str) -> type:
    attributes = {
        **{name: _fixture(value) for name, value in OVERRIDES.get(database, {}).get(scenario.key, {}).items()},
        "conformance_database": database,
        "conformance_folder": scenario.folder,
        "conformance_mode": mode,
        "conformance_scenario": scenario.key,
        # Both runs of a scenario on one process, which compares them.
        "pytestmark": [pytest.mark.xdist_group(f"{database}-{scenario.key}")],
        "__test__": True,
    }
    name = f"Test_{database}_{scenario.key.replace('.', '_')}_{mode}"
    return type(name, (_Placed, scenario.test_class), attributes)


def _fixture(value: Any) -> Any:
    return pytest.fixture(scope="class")(lambda _: value)


def _classes() -> dict[str, type]:
    made = [
        _test_class(scenario, database, mode)
        for database in DATABASES
        for scenario in scenarios()
        for mode in (CLI, OURS)
    ]
    return {each.__name__: each for each in made}


globals().update(_classes())
ROUTER.install()
