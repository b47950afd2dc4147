"""Two builds of one project, by two engines: node by node, whether they have come to the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dbt_temporal.domain.results import NodeExecutionResult

Verdict = Literal["equal", "status", "columns", "rows", "failures", "one only", "not compared"]
"""What about a node differs, the gravest first to be named; `not compared` where nobody can say."""

_SINGULAR_TEST_OF_V2 = re.compile(r"^(?P<of_dbt_core>test\.[^.]+\.[^.]+)\.[0-9a-f]{10}$")
"""dbt v2 gives singular tests a hash at their end, which dbt-core gives to generic ones alone."""
_MOST_CHARS = 300
"""Of a message."""
_NOTHING_TO_RUN = "no-op"
"""dbt v2's word of nodes that are nothing in the database; dbt-core has no results of ephemeral models."""


@dataclass(frozen=True)
class Place:
    """Where a node's relation is."""

    database: str | None
    schema: str
    identifier: str

    def __str__(self) -> str:
        return ".".join(part for part in (self.database, self.schema, self.identifier) if part)


@dataclass(frozen=True)
class Column:
    """A column as the database calls it."""

    name: str
    type: str


@dataclass(frozen=True)
class RelationsCompared:
    """What the database says of both relations of a node.

    Attributes:
        columns: of the first engine's, and of the second's.
        counts: of rows; None where no column is in both.
        only: how many rows (copies of a row count) only the first has, and only the second.
        differing: columns in which values differ, where rows do.
        examples: some of these rows, as texts by column.
        problem: why it could not be told, where it could not.
    """

    columns: tuple[Sequence[Column], Sequence[Column]] = ((), ())
    counts: tuple[int, int] | None = None
    only: tuple[int, int] = (0, 0)
    differing: Sequence[str] = ()
    examples: tuple[Sequence[Mapping[str, str | None]], Sequence[Mapping[str, str | None]]] = ((), ())
    problem: str | None = None

    @property
    def missing_columns(self) -> tuple[list[str], list[str]]:
        """Columns that only the first has, and only the second."""
        first, second = ({column.name for column in columns} for columns in self.columns)
        return sorted(first - second), sorted(second - first)

    @property
    def retyped_columns(self) -> list[tuple[str, str, str]]:
        """Columns of another type: name, and both types."""
        types = {column.name: column.type for column in self.columns[1]}
        return [
            (column.name, column.type, types[column.name])
            for column in self.columns[0]
            if column.name in types and types[column.name] != column.type
        ]


@dataclass(frozen=True)
class NodeCompared:
    """A node.

    Attributes:
        verdict: the gravest difference.
        statuses: dbt's words, the first engine's and the second's; None where it has no such node.
        seconds: how long each took.
        why: the difference in a line; empty where there is none.
        relations: what was compared in the database, where something was.
    """

    unique_id: str
    verdict: Verdict
    statuses: tuple[str | None, str | None]
    seconds: tuple[float, float] = (0.0, 0.0)
    why: str = ""
    relations: RelationsCompared | None = None


@dataclass(frozen=True)
class EngineBuild:
    """What one engine has come to.

    Attributes:
        engine: its name.
        version: of dbt.
        seconds: how long the build took.
        results: of the nodes, by unique_id.
        places: where nodes have relations, by unique_id.
    """

    engine: str
    version: str
    seconds: float
    results: Mapping[str, NodeExecutionResult] = field(repr=False)
    places: Mapping[str, Place] = field(repr=False)


@dataclass(frozen=True)
class EngineComparison:
    """Both builds, and what differs."""

    builds: tuple[EngineBuild, EngineBuild]
    nodes: Sequence[NodeCompared]

    @property
    def differing(self) -> list[NodeCompared]:
        """The nodes that are not known to be equal."""
        return [node for node in self.nodes if node.verdict != "equal"]

    @property
    def equal(self) -> bool:
        """Whether all are."""
        return not self.differing


def shared_places(first: Mapping[str, Place], second: Mapping[str, Place]) -> list[Place]:
    """Places that both engines would write to. Names count as equal whatever their case: some databases fold it."""
    taken = {str(place).casefold() for place in first.values()}
    return [place for place in second.values() if str(place).casefold() in taken]


def to_compare(first: EngineBuild, second: EngineBuild) -> list[str]:
    """The nodes both of whose relations were built."""
    return [
        unique_id
        for unique_id, result in first.results.items()
        if result.status == "success"
        and (other := second.results.get(unique_id)) is not None
        and other.status == "success"
        and unique_id in first.places
        and unique_id in second.places
    ]


def compare(first: EngineBuild, second: EngineBuild, relations: Mapping[str, RelationsCompared]) -> EngineComparison:
    """The comparison, with `relations` for the nodes of `to_compare`."""
    others = {_as_first_has_it(unique_id, first.results): result for unique_id, result in second.results.items()}
    nodes = [
        _compared(unique_id, first.results.get(unique_id), others.get(unique_id), relations.get(unique_id))
        for unique_id in dict.fromkeys((*first.results, *others))
    ]
    return EngineComparison((first, second), [node for node in nodes if node is not None])


def _as_first_has_it(unique_id: str, first: Mapping[str, NodeExecutionResult]) -> str:
    found = _SINGULAR_TEST_OF_V2.match(unique_id)
    named = unique_id if found is None else found["of_dbt_core"]
    return named if named in first else unique_id


def _compared(
    unique_id: str,
    first: NodeExecutionResult | None,
    second: NodeExecutionResult | None,
    relations: RelationsCompared | None,
) -> NodeCompared | None:
    words = (_word(first), _word(second))
    if None in words and _NOTHING_TO_RUN in words:
        return None
    verdict, why = _verdict(words, first, second, relations)
    seconds = (first.execution_time if first else 0.0, second.execution_time if second else 0.0)
    return NodeCompared(unique_id, verdict, words, seconds, why, relations)


def _verdict(
    words: tuple[str | None, str | None],
    first: NodeExecutionResult | None,
    second: NodeExecutionResult | None,
    relations: RelationsCompared | None,
) -> tuple[Verdict, str]:
    if first is None or second is None:
        return "one only", "the other engine has no such node"
    if words[0] != words[1]:
        message = next((result.message for result in (first, second) if result.status == "error"), None)
        return "status", _in_a_line(message)
    if first.failures != second.failures:
        return "failures", f"{first.failures} and {second.failures} failing rows"
    if relations is None:
        return "equal", ""
    if relations.problem is not None:
        return "not compared", _in_a_line(relations.problem)
    return _verdict_of_relations(relations)


def _verdict_of_relations(relations: RelationsCompared) -> tuple[Verdict, str]:
    reasons = [
        f"only in the {which}: {', '.join(names)}"
        for which, names in zip(("first", "second"), relations.missing_columns, strict=True)
        if names
    ]
    reasons += [f"{name}: {one} and {other}" for name, one, other in relations.retyped_columns]
    verdict: Verdict = "columns" if reasons else "equal"
    if relations.counts is not None and (any(relations.only) or relations.counts[0] != relations.counts[1]):
        verdict = "columns" if reasons else "rows"
        in_columns = f", in {', '.join(relations.differing)}" if relations.differing else ""
        reasons.append(
            f"{relations.counts[0]} and {relations.counts[1]} rows; {relations.only[0]} only in the first, "
            f"{relations.only[1]} only in the second{in_columns}"
        )
    return verdict, "; ".join(reasons)


def _word(result: NodeExecutionResult | None) -> str | None:
    return None if result is None else result.dbt_status or result.status


def _in_a_line(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= _MOST_CHARS else f"{line[:_MOST_CHARS]}..."


def as_json(comparison: EngineComparison) -> dict[str, Any]:
    """All of it as JSON data."""
    return {
        "equal": comparison.equal,
        "engines": [
            {"engine": build.engine, "version": build.version, "seconds": round(build.seconds, 3)}
            for build in comparison.builds
        ],
        "nodes": [_node_as_json(comparison, node) for node in comparison.nodes],
    }


def _node_as_json(comparison: EngineComparison, node: NodeCompared) -> dict[str, Any]:
    places = [build.places.get(node.unique_id) for build in comparison.builds]
    told: dict[str, Any] = {
        "unique_id": node.unique_id,
        "verdict": node.verdict,
        "why": node.why,
        "statuses": list(node.statuses),
        "seconds": [round(seconds, 3) for seconds in node.seconds],
        "relations": [None if place is None else str(place) for place in places],
    }
    found = node.relations
    if found is not None and found.problem is None:
        told |= {
            "columns": [[{"name": c.name, "type": c.type} for c in columns] for columns in found.columns],
            "rows": None if found.counts is None else list(found.counts),
            "only": list(found.only),
            "differing_columns": list(found.differing),
            "examples": [[dict(row) for row in rows] for rows in found.examples],
        }
    return told
