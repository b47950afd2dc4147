"""All figures, in the order of the table, and which of them are measured when none is named."""

from __future__ import annotations

from benchmarks.compare import compare
from benchmarks.figure import AnyFigure
from benchmarks.figures import (
    actions,
    at_once,
    chain,
    engine_v2,
    floor,
    hosts,
    jaffle_shop,
    large,
    one_model,
    ready,
    views,
)

FIGURES: dict[str, AnyFigure] = {
    module.FIGURE.name: module.FIGURE
    for module in (
        jaffle_shop,
        one_model,
        views,
        floor,
        hosts,
        large,
        ready,
        actions,
        at_once,
        chain,
        engine_v2,
        compare,
    )
}
USUAL = [figure for figure in FIGURES.values() if figure is not compare.FIGURE]
"""The others need environments of their own, which are installed from a package index."""
