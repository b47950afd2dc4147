"""The flags of `dbt-temporal artifacts prune`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.cli.operators.pruning import _size


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "give --keep, --older-than or both"),
        (["--dry-run"], "give --keep, --older-than or both"),
        (["--keep", "0"], "0 is not in the range x>=1"),
        (["--older-than", "a month"], "Invalid value for '--older-than': 'a month' is no number with m, h or d"),
        (["--older-than", "999999d"], "Invalid value for '--older-than': '999999d' is no number with m, h or d"),
    ],
)
def test_wrong_flags_are_told(flags: list[str], told: str) -> None:
    result = CliRunner().invoke(cli, ["artifacts", "prune", *flags])
    assert result.exit_code == 2
    assert told in result.output


def test_sizes_are_told_in_the_units_of_people() -> None:
    sizes = [0, 999, 1500, 2_345_678, 7_000_000_000, 7_000_000_000_000]
    assert [_size(size) for size in sizes] == ["0 B", "999 B", "1.5 kB", "2.3 MB", "7.0 GB", "7000.0 GB"]
