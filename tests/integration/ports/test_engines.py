"""Both engines, on DuckDB, keep what their port promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.testing import DbtEngineContract
from dbt_temporal.testing.contracts.engine import SHOP
from tests.integration.engine_driver import write_files
from tests.integration.v2.installed import BINARY, environment, needs_dbt_v2

PROFILES = """
shop:
  target: dev
  outputs:
    dev: {{type: duckdb, path: "{path}", schema: main, threads: 2}}
"""


def written(folder: Path, **more: str) -> ProjectLocation:
    write_files(folder, {**SHOP, **more, "profiles.yml": PROFILES.format(path=folder / "shop.duckdb")})
    return ProjectLocation(folder, folder)


# One project and one engine of each kind for all tests: what they parse takes longer than what they do.
@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ProjectLocation:
    return written(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def unparsable(tmp_path: Path) -> ProjectLocation:
    return written(tmp_path / "bad", **{"dbt_project.yml": "name: shop\nprofile: of-nobody\n"})


@pytest.fixture(scope="module")
async def one_v2_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtV2Engine]:
    cache = tmp_path_factory.mktemp("cache")
    engine = DbtV2Engine(cache, binary=str(BINARY), environ=environment(), settle_secs=0.1)
    yield engine
    await engine.close()


@pytest.mark.every_dbt_version
class TestDbtCore(DbtEngineContract):
    @pytest.fixture
    def engine(self, dbt_engine: DbtCoreEngine) -> DbtCoreEngine:
        return dbt_engine


@needs_dbt_v2
class TestDbtV2(DbtEngineContract):
    @pytest.fixture
    def shop(self, tmp_path: Path) -> ProjectLocation:
        # Not that of the other engine, whose DuckDB has other files.
        return written(tmp_path / "shop")

    @pytest.fixture
    def engine(self, one_v2_engine: DbtV2Engine) -> DbtV2Engine:
        return one_v2_engine
