"""Rows of columns that end with an id, which stays whole: on the row, or below it where that is too narrow."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

GAP = "  "


def print_rows(console: Console, header: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """Prints rows under their header.

    Where a terminal is too narrow for the longest row, the id of each stands on a line of its own, and the rest is cut
    at the terminal's width. Elsewhere nothing is ever cut or broken.

    Args:
        console: where to.
        header: the columns' names; the last is that of the id.
        rows: as many texts for each.
    """
    titles = [Text(title, style="dim") for title in header]
    widths = [max(each[column].cell_len for each in (titles, *rows)) for column in range(len(header))]
    is_narrow = console.is_terminal and sum(widths) + len(GAP) * (len(widths) - 1) > console.width
    for row in (titles, *rows):
        *columns, name = row
        line = Text(GAP).join(_padded(text, width) for text, width in zip(columns, widths[:-1], strict=True))
        if is_narrow:
            console.print(_cut(line, console.width), soft_wrap=True)
            console.print(Text(GAP) + name, soft_wrap=True)
        else:
            console.print(line + GAP + name, soft_wrap=True)


def _padded(text: Text, width: int) -> Text:
    return Text(set_cell_size(text.plain, width), style=text.style)


def _cut(line: Text, width: int) -> Text:
    line.rstrip()
    if cell_len(line.plain) > width:
        line.truncate(width, overflow="ellipsis")
    return line
