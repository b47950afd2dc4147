"""Plots of the benchmarks' page."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from benchmarks.page import svg

NAME = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    """All that is written in it."""
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{NAME}text")]


def test_a_line_plot_has_a_point_for_each_value_and_names_its_lines() -> None:
    lines = {"dbt-temporal": [(1000, 30.0), (10_000, 36.0)], "dbt <CLI>": [(1000, 40.0)]}
    picture = svg.line_plot("Time & nodes", "nodes", "ms", lines)
    assert len(list(ET.fromstring(picture).iter(f"{NAME}circle"))) == 3
    assert {"Time & nodes", "nodes", "ms", "dbt-temporal", "dbt <CLI>", "10,000", "0"} <= set(texts(picture))


def test_points_lie_where_their_values_are() -> None:
    picture = svg.line_plot("", "", "", {"a": [(0, 0.0), (10, 5.0)]})
    first, second = ET.fromstring(picture).iter(f"{NAME}circle")
    assert float(first.get("cx", "")) < float(second.get("cx", ""))
    assert float(first.get("cy", "")) > float(second.get("cy", ""))


def test_numbers_on_a_short_axis_are_whole() -> None:
    picture = svg.line_plot("", "hosts", "s", {"a": [(1, 500.0), (2, 300.0)]})
    assert [text for text in texts(picture) if text in {"0.5", "1", "1.5", "2"}] == ["1", "2"]


def test_the_parts_of_a_bar_lie_on_each_other_and_its_sum_is_told() -> None:
    picture = svg.stacked_bars("", "ms", ["engine", "worker"], {"x": {"engine": 20.0, "worker": 5.0}})
    bars = [rect for rect in ET.fromstring(picture).iter(f"{NAME}rect") if rect.find(f"{NAME}title") is not None]
    lower, upper = sorted(bars, key=lambda bar: -float(bar.get("y", "")))
    seam = float(upper.get("y", "")) + float(upper.get("height", ""))
    assert seam == pytest.approx(float(lower.get("y", "")), abs=0.11)
    assert {"25", "engine", "worker"} <= set(texts(picture))


def test_a_plot_follows_the_readers_scheme() -> None:
    picture = svg.line_plot("", "", "", {"a": [(1, 1.0)]})
    assert "prefers-color-scheme: dark" in picture


def test_nothing_to_show_is_an_empty_plot() -> None:
    assert ET.fromstring(svg.line_plot("", "", "", {"a": []})).tag == f"{NAME}svg"
    assert ET.fromstring(svg.stacked_bars("", "", [], {})).tag == f"{NAME}svg"
