"""The comparison with other ways to run dbt. Those that have to be installed are not, here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.compare.compare import WAYS
from tests.integration.benchmarks.small_figures import measured


@pytest.mark.on_request
async def test_a_way_that_does_not_install_is_a_row_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WAYS, "cosmos", replace(WAYS["cosmos"], requirements=("./not-there",)))
    result = await measured("compare", tmp_path, ways=("cosmos",), environments=str(tmp_path / "environments"))
    cli, other = result.measured.ways
    assert len(cli.first) == len(cli.second) == 1
    assert "not-there" in other.failure
    (row,) = result.rows
    assert row.measured.startswith("does not install here: ")
    assert row.ratio is None
