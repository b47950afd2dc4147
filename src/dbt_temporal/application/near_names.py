"""What somebody may have meant by a selection that matches nothing, of which dbt says no more than that."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_NAMES, NEAR_FROM = 3, 0.7
"""How many at most, and how near from 0 to 1 (`difflib.get_close_matches`)."""


@dataclass(frozen=True)
class Selectable:
    """A node or a source, as selections name it.

    Attributes:
        name: the node's; of a source, `<source>.<table>`.
        fqn: as dbt has it: the package, folders, the node.
        path: of its file, in the project.
        tags: its own.
        is_source: whether it is a source.
    """

    name: str
    fqn: Sequence[str]
    path: str
    tags: Sequence[str]
    is_source: bool = False


def did_you_mean(method: str, value: str, selectable: Iterable[Selectable]) -> list[str]:
    """A line that names what is nearest to the value of a criterion by its own method; none where nothing is near."""
    near = difflib.get_close_matches(value, sorted(names(method, selectable)), MOST_NAMES, NEAR_FROM)
    return [f"  Did you mean {' or '.join(near)}?"] if near else []


def names(method: str, selectable: Iterable[Selectable]) -> set[str]:
    """What a criterion of this method may name, by the words in which people write it; none of other methods."""
    if method == "tag":
        return {tag for each in selectable for tag in each.tags}
    if method == "source":
        return {each.name for each in selectable if each.is_source}
    nodes = [each for each in selectable if not each.is_source]
    if method == "fqn":
        return {*(node.name for node in nodes), *(".".join(node.fqn[1:-1]) for node in nodes)} - {""}
    if method in ("path", "file"):
        paths = {node.path for node in nodes}
        return paths if method == "path" else {path.rpartition("/")[2] for path in paths}
    return set()
