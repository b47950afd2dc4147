"""How tests are shared out where several processes run them (`pytest -n auto`)."""

from __future__ import annotations

import os

import pytest


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: half of the time a test waits."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share something of their module go to one process; every other one goes to the next that is free."""
    for item in items:
        definitions = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009  (not public)
        if any(fixture.scope in ("module", "class") for fixtures in definitions for fixture in fixtures):
            item.add_marker(pytest.mark.xdist_group("/".join(item.path.with_suffix("").parts[-2:])))
