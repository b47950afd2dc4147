"""A project while it is drawn: what there is already, for later parts to refer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from hypothesis import strategies as st

Value = TypeVar("Value")
Draw = Callable[[st.SearchStrategy[Any]], Any]

TAGS = ("daily", "nightly", "slow")
GROUPS = ("sales", "ops")


@dataclass(frozen=True)
class Relation:
    """Something that models refer to. All have the columns `id` (integer) and `label` (text).

    Attributes:
        reference: as a model writes it, such as `ref('a')`.
        kind: `seed`, `source`, `snapshot`, or a model's materialization.
        plain: whether it is one of its own parents' rows unchanged, so that a unit test can say what comes out.
        parents: what it selects from.
    """

    name: str
    reference: str
    kind: str
    plain: bool = False
    parents: tuple[str, ...] = ()
    package: str = "shop"


@dataclass
class Sketch:
    """The project so far.

    Attributes:
        draw: draws a value from a strategy.
        threads: of the profile; what depends on who comes first is not drawn where there are several.
        relations: what models may refer to, parents first.
        settings: dbt_project.yml.
        yaml: the entries of schema.yml, by their section.
    """

    draw: Draw
    threads: int
    files: dict[str, str] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    yaml: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    selectors: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)

    def number(self, least: int, most: int) -> int:
        """A whole number."""
        drawn: int = self.draw(st.integers(least, most))
        return drawn

    def one_of(self, values: Sequence[Value]) -> Value:
        """One of the values; those that come first are what hypothesis shrinks to."""
        drawn: Value = self.draw(st.sampled_from(values))
        return drawn

    def some_of(self, values: Sequence[Value], least: int = 0, most: int = 3) -> list[Value]:
        """Different ones of the values."""
        most = min(most, len(values))
        places = st.lists(st.integers(0, len(values) - 1), min_size=min(least, most), max_size=most, unique=True)
        drawn: list[int] = self.draw(places) if values else []
        return [values[place] for place in drawn]

    def happens(self, percent: int) -> bool:
        """True about so often."""
        return self.number(1, 100) > 100 - percent

    def models(self) -> list[Relation]:
        """The models of the project itself."""
        return [each for each in self.relations if each.kind in MATERIALIZATIONS and each.package == "shop"]

    def add(self, section: str, entry: dict[str, Any]) -> None:
        """Adds an entry of schema.yml."""
        self.yaml.setdefault(section, []).append(entry)

    def entry(self, section: str, name: str) -> dict[str, Any]:
        """The entry of a node in schema.yml, which is added where it has none."""
        for entry in self.yaml.get(section, []):
            if entry["name"] == name:
                return entry
        self.add(section, {"name": name})
        return self.yaml[section][-1]


MATERIALIZATIONS = ("view", "table", "incremental", "ephemeral")


def dump(value: object) -> str:
    """YAML with keys in their order."""
    text: str = yaml.safe_dump(value, sort_keys=False, width=1000)
    return text
