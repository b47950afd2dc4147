"""Pieces of HTML. Whatever comes from a run goes through `text`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from dbt_temporal.domain.report.model import ReportNode
from dbt_temporal.domain.results import NodeExecutionResult

MAX_ROWS = 20
"""Longer tables are scrolled by themselves."""


def text(value: object) -> str:
    """Text that stays text, in attributes too."""
    return escape(str(value), quote=True)


def seconds(value: float) -> str:
    """A time span for people."""
    if value < 60:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def word(result: NodeExecutionResult) -> str:
    """The style of a result: a status of ours, or `warn`."""
    return "warn" if result.dbt_status == "warn" else result.status


def status(result: NodeExecutionResult) -> str:
    """dbt's own word, in its colour."""
    return f'<span class="word {word(result)}">{text(result.dbt_status or result.status)}</span>'


def name(node: ReportNode) -> str:
    """A node by its name, with its unique_id to hover over."""
    return f'<span title="{text(node.unique_id)}">{text(node.facts.name)}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns whose heads begin with `#` hold numbers. Cells are HTML."""
    numbers = [each.startswith("#") for each in head]
    cells = "".join(_cell("th", text(each.removeprefix("#")), n) for each, n in zip(head, numbers, strict=True))
    body = "".join(
        "<tr>" + "".join(_cell("td", each, n) for each, n in zip(row, numbers, strict=True)) + "</tr>" for row in rows
    )
    tall = " tall" if body.count("<tr>") > MAX_ROWS else ""
    return f'<div class="wide{tall}"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def cut(value: str, limit: int) -> str:
    """So much of a text, and how much is left out."""
    return value if len(value) <= limit else f"{value[:limit]}\n... ({len(value) - limit} characters left out)"


def _cell(tag: str, content: str, number: bool) -> str:
    return f'<{tag} class="n">{content}</{tag}>' if number else f"<{tag}>{content}</{tag}>"
