from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from tests.integration.engine_driver import open_engine


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtCoreEngine]:
    """An engine that sends no statistics anywhere."""
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path_factory.mktemp("cache"), environ=environ) as opened:
        yield opened
