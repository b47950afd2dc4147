"""The README's program runs as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.programs import ROOT, readme_program


@pytest.mark.every_dbt_version
def test_the_program_of_the_readme_builds_the_example_in_its_own_process(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "JAFFLE_SHOP_DB": str(tmp_path / "jaffle_shop.duckdb"),
        "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", readme_program()], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("success ")
