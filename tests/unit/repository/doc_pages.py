"""A page of the documentation, whose examples tests read with the code that reads them in a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]

_BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<title>[^\n]+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


class Page:
    """A Markdown file.

    Attributes:
        path: where it is.
        text: the whole of it.
    """

    def __init__(self, path: str) -> None:
        """A page by its path below the repository."""
        self.path = ROOT / path
        self.text = self.path.read_text(encoding="utf-8")

    @property
    def kinds(self) -> set[tuple[str, str | None]]:
        """Language and title of every fenced block."""
        return {(found["language"], found["title"]) for found in _BLOCK.finditer(self.text)}

    def blocks(self, language: str, title: str | None = None) -> list[str]:
        """The text of the fenced blocks of that kind."""
        found = _BLOCK.finditer(self.text)
        return [each["text"] for each in found if (each["language"], each["title"]) == (language, title)]

    def json_blocks(self, title: str) -> list[Any]:
        """The documents of the JSON blocks of that title."""
        return [json.loads(text) for text in self.blocks("json", title)]

    def table(self, header: str) -> list[list[str]]:
        """The cells of the rows of the table whose header line begins so."""
        _, _, rest = self.text.partition(f"{header}")
        assert rest, f"{self.path} has no table {header!r}"
        rows = rest.partition("\n\n")[0].splitlines()[2:]
        return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]

    def broken_links(self) -> list[str]:
        """Links to files that are not there."""
        return [link for link in _LINK.findall(self.text) if not (self.path.parent / link).exists()]
