"""Rows with ids that can be copied whole, however wide the terminal is."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from dbt_temporal.entrypoints.cli.shown.rows import print_rows

HEADER = ("STATUS", "COMMAND", "WORKFLOW ID")
IDS = ("dbt-build-jaffle_shop-20260131-060000-1a2b3c", "r", "x" * 200)


def printed(width: int, *, terminal: bool, ids: tuple[str, ...] = IDS) -> list[str]:
    console = Console(
        file=StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False, legacy_windows=False
    )
    rows = [[Text("failed", style="red"), Text("build --select [all]日本"), Text(name)] for name in ids]
    print_rows(console, HEADER, rows)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 120, 300])
@pytest.mark.parametrize("terminal", [True, False])
def test_every_id_stands_whole_on_one_line(width: int, terminal: bool) -> None:
    lines = printed(width, terminal=terminal)
    for name in IDS:
        assert [line for line in lines if line.split()[-1] == name]


def test_on_a_wide_terminal_a_row_is_a_line() -> None:
    assert printed(80, terminal=True, ids=IDS[:2]) == [
        "STATUS  COMMAND                   WORKFLOW ID",
        "failed  build --select [all]日本  dbt-build-jaffle_shop-20260131-060000-1a2b3c",
        "failed  build --select [all]日本  r",
    ]


def test_on_a_narrow_terminal_the_id_stands_below_and_the_rest_is_cut() -> None:
    lines = printed(20, terminal=True, ids=IDS[:2])
    assert lines == [
        "STATUS  COMMAND",
        "  WORKFLOW ID",
        "failed  build --sel…",
        f"  {IDS[0]}",
        "failed  build --sel…",
        "  r",
    ]
    assert all(cell_len(line) <= 20 for line in lines[::2])


def test_without_a_terminal_nothing_is_cut_or_broken() -> None:
    assert len(printed(20, terminal=False)) == 4
