"""How many processes `pytest -n auto` shares the tests out to, and which tests of many run where time is short."""

from __future__ import annotations

import os
import zlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the Makefile says."""
    parser.addoption(
        "--share",
        type=int,
        default=1,
        help="run one of so many of dbt's own scenarios, and of the tests that hold for every dbt version; always the "
        "same ones",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not in the share."""
    share = config.getoption("--share")
    repeated = [item for item in items if item.get_closest_marker("every_dbt_version")]
    # dbt's names that are touched are looked up whatever the share: a version that has moved one fails there.
    left_out = {item for item in repeated if item.path.stem != "test_internals" and not in_share(item.nodeid, share)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def in_share(name: str, share: int) -> bool:
    """Whether one of so many is this one. By its name, so that a new one moves no other one."""
    return zlib.crc32(name.encode()) % share == 0


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: tests also wait."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)
