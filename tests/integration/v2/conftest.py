"""Fixtures for tests with dbt v2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from tests.integration.v2.installed import BINARY, environment


@pytest.fixture
async def v2_engine(tmp_path: Path) -> AsyncIterator[DbtV2Engine]:
    """dbt v2. Nobody's run is cancelled as a whole in its tests, so nothing is waited for after a process has ended."""
    engine = DbtV2Engine(tmp_path / "cache", binary=str(BINARY), environ=environment(), settle_secs=0.1)
    yield engine
    await engine.close()
