"""The comparison of two engines is shown as a table, and written as Markdown or JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from dbt_temporal.domain.engine_comparison import Column, EngineBuild, EngineComparison, NodeCompared, RelationsCompared
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.comparison.report import as_markdown, print_comparison, write_report

BUILDS = (EngineBuild("dbt-core", "1.11", 2.0, {}, {}), EngineBuild("v2", "2.0", 0.5, {}, {}))
SAME = NodeCompared("model.shop.same", "equal", ("success", "success"), (0.5, 0.1))
COLUMNS = ([Column("id", "integer")], [Column("id", "integer")])
OTHER = NodeCompared(
    "model.shop.other",
    "rows",
    ("success", "success"),
    why="2 and 3 rows | [x]",
    relations=RelationsCompared(COLUMNS, (2, 3), (0, 1), ("id",), ([], [{"id": "3"}])),
)


def printed(*nodes: NodeCompared) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_comparison(console, EngineComparison(BUILDS, nodes))
    return console.export_text()


def test_the_terminal_shows_what_differs_with_examples_and_the_verdict_last() -> None:
    text = printed(SAME, OTHER)
    assert "model.shop.same" not in text
    assert "2 and 3 rows | [x]" in text
    assert "model.shop.other, only by v2: id=3" in text
    assert text.rstrip().endswith("Different: 1 of 2 nodes; 1 have come to the same")


def test_equal_and_empty_selections_are_told_apart() -> None:
    assert "Equal: all 1 nodes have come to the same" in printed(SAME)
    assert "Nothing was selected" in printed()


def test_the_page_has_all_nodes_and_keeps_its_tables_whole() -> None:
    page = as_markdown(EngineComparison(BUILDS, [SAME, OTHER]))
    assert r"| model.shop.other | rows | success | 2 and 3 rows \| [x] |" in page
    assert "| model.shop.same | equal | 0.50 s | 0.10 s |" in page


def test_a_report_is_written_as_its_name_says(tmp_path: Path) -> None:
    comparison = EngineComparison(BUILDS, [SAME])
    write_report(tmp_path / "report.json", comparison)
    assert json.loads((tmp_path / "report.json").read_bytes())["equal"] is True
    for wrong in (tmp_path / "report.html", tmp_path / "nowhere" / "report.md"):
        with pytest.raises(DbtTemporalError, match="--report"):
            write_report(wrong, comparison)
