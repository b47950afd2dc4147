"""Plots as SVG files that follow the reader's light or dark scheme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 50, 60
TICKS = 5

_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#a6559a", "#8a6d00")
_DARK = ("#56b4e9", "#f08a3c", "#3fd0a4", "#d79acb", "#e6c229")
"""Of the series, by turns: told apart by most eyes that confuse colours, on either ground."""


def _style() -> str:
    def scheme(ground: str, ink: str, faint: str, colours: Sequence[str]) -> str:
        rules = [
            f".ground {{ fill: {ground} }}",
            f"text {{ fill: {ink} }}",
            f".axis {{ stroke: {ink} }}",
            f".grid {{ stroke: {faint} }}",
        ]
        for number, colour in enumerate(colours):
            rules.append(f".fill{number} {{ fill: {colour} }}")
            rules.append(f".line{number} {{ fill: none; stroke: {colour}; stroke-width: 2.5 }}")
        return " ".join(rules)

    light, dark = scheme("#ffffff", "#1f2328", "#d8dee4", _LIGHT), scheme("#0d1117", "#e6edf3", "#30363d", _DARK)
    fonts = "text { font-family: system-ui, sans-serif; font-size: 13px } .title { font-size: 16px; font-weight: 600 }"
    return f"<style>{fonts} {light} @media (prefers-color-scheme: dark) {{ {dark} }}</style>"


@dataclass(frozen=True)
class Axis:
    """One axis from nought: its label, the place of nought and of `most` on the picture, and `most`."""

    label: str
    begin: float
    end: float
    most: float

    def place(self, value: float) -> float:
        """Where a value is, in pixels."""
        return self.begin + (self.end - self.begin) * value / self.most

    def ticks(self, least_step: float = 0.0) -> list[float]:
        """Values that are marked."""
        step = max(_round_step(self.most / TICKS), least_step)
        return [number * step for number in range(math.floor(self.most / step + 1e-9) + 1)]


def line_plot(title: str, x: str, y: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines through points, by the name of the series; both axes begin at nought, and x are whole numbers."""
    points = [point for line in series.values() for point in line]
    across = Axis(x, LEFT, WIDTH - RIGHT, max((point[0] for point in points), default=1.0) or 1.0)
    up = _up(y, max((point[1] for point in points), default=1.0))
    parts = [_grid(up), _marks(across)]
    for number, line in enumerate(series.values()):
        places = [(across.place(a), up.place(b)) for a, b in line]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline class="line{number}" points="{path}"/>')
        parts += [f'<circle class="fill{number}" cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in places]
    return _picture(title, list(series), parts)


def stacked_bars(title: str, y: str, names: Sequence[str], bars: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each name, of parts that lie one on the other; `names` are those of all parts, for the legend."""
    up = _up(y, max((sum(parts.values()) for parts in bars.values()), default=1.0))
    slot = (WIDTH - RIGHT - LEFT) / max(len(bars), 1)
    drawn = [_grid(up)]
    for number, (bar, parts) in enumerate(bars.items()):
        left, width, below = LEFT + slot * (number + 0.2), slot * 0.6, 0.0
        for name, value in parts.items():
            top, bottom = up.place(below + value), up.place(below)
            fill = f"fill{names.index(name)}"
            label = f"<title>{escape(bar)}, {escape(name)}: {value:.3g}</title>"
            size = f'width="{width:.1f}" height="{bottom - top:.1f}"'
            drawn.append(f'<rect class="{fill}" x="{left:.1f}" y="{top:.1f}" {size}>{label}</rect>')
            below += value
        middle = left + width / 2
        drawn.append(_text(middle, up.place(below) - 6, f"{below:.3g}", "middle"))
        for line, words in enumerate(bar.split("\n")):
            drawn.append(_text(middle, HEIGHT - BOTTOM + 20 + 16 * line, words, "middle"))
    drawn.append(f'<line class="axis" x1="{LEFT}" y1="{up.begin}" x2="{WIDTH - RIGHT}" y2="{up.begin}"/>')
    return _picture(title, names, drawn)


def _up(label: str, most: float) -> Axis:
    most = most or 1.0
    step = _round_step(most * 1.08 / TICKS)
    return Axis(label, HEIGHT - BOTTOM, TOP, math.ceil(most * 1.08 / step) * step)


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def _grid(up: Axis) -> str:
    parts = []
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{tick:,.10g}", "end"))
    middle = (up.begin + up.end) / 2
    turned = f'transform="rotate(-90 18 {middle:.1f})"'
    parts.append(f'<text x="18" y="{middle:.1f}" text-anchor="middle" {turned}>{escape(up.label)}</text>')
    return "".join(parts)


def _marks(across: Axis) -> str:
    base = HEIGHT - BOTTOM
    parts = [f'<line class="axis" x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}"/>']
    parts += [_text(across.place(tick), base + 20, f"{tick:,.10g}", "middle") for tick in across.ticks(least_step=1.0)]
    parts.append(_text((across.begin + across.end) / 2, base + 44, across.label, "middle"))
    return "".join(parts)


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{of_kind}>{escape(words)}</text>'


def _picture(title: str, names: Sequence[str], parts: Sequence[str]) -> str:
    legend = []
    for number, name in enumerate(names):
        y = TOP + 10 + 24 * number
        legend.append(f'<rect class="fill{number}" x="{WIDTH - RIGHT + 20}" y="{y}" width="12" height="12"/>')
        legend.append(_text(WIDTH - RIGHT + 40, y + 11, name))
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    ground = f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>'
    lines = [head, _style(), ground, _text(LEFT, 28, title, kind="title"), *parts, *legend, "</svg>"]
    return "\n".join(lines) + "\n"
