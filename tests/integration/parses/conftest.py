from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.parses.fleet import FILES, Fleet


@pytest.fixture
def fleet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Fleet:
    """A project that no worker has parsed."""
    fleet = Fleet(tmp_path, caplog)
    fleet.write(FILES)
    return fleet
