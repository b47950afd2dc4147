"""Figures by sizes that only show that they work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.catalogue import FIGURES
from benchmarks.page.page import write_page
from benchmarks.results import Machine, Result, now, read_results


async def measured(name: str, folder: Path, **sizes: Any) -> Result:
    """The figure as it is read back after it was measured, once the page of it could be written."""
    figure = FIGURES[name]
    machine, began, small = Machine.here(), now(), replace(figure.small, **sizes)
    results, measuring = folder / "results", folder / "measuring"
    measuring.mkdir()
    result = Result(figure, small, machine, began, await figure.measure(small, measuring))
    result.write(results)
    (kept,) = read_results(results, FIGURES.values())
    assert (kept.measured, kept.sizes, kept.machine) == (result.measured, result.sizes, result.machine)
    assert kept.rows
    pages = write_page(folder / "page.md", [kept])
    text = pages[0].read_text()
    assert all(row.figure in text for row in kept.rows)
    return kept
