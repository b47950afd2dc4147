"""How many processes `pytest -n auto` shares the tests out to."""

from __future__ import annotations

import os


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: tests also wait."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)
