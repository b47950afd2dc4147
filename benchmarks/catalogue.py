"""All figures, in the order of the table."""

from __future__ import annotations

from benchmarks.figure import AnyFigure
from benchmarks.figures import actions, at_once, chain, hosts, jaffle_shop, large, one_model, ready, views

FIGURES: dict[str, AnyFigure] = {
    module.FIGURE.name: module.FIGURE
    for module in (jaffle_shop, one_model, views, hosts, large, ready, actions, at_once, chain)
}
