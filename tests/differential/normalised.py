"""What may differ between two runs of dbt itself, each with its reason. All else must be equal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.differential.sides import Ended


@dataclass(frozen=True)
class Rule:
    """Something that is not compared.

    Attributes:
        what: in words.
        reason: why dbt itself would not give it twice, or why the test makes it differ.
    """

    what: str
    reason: str


RULES = (
    Rule(
        "instants, durations, invocation ids, thread ids",
        "belong to one run alone (tests/integration/equality/compare.py)",
    ),
    Rule("the name of the database", "each side has one of its own, and PostgreSQL's sides have one server"),
    Rule("where artifacts for --state lie", "each side refers to what it has written itself"),
    Rule("args: log_path, profiles_dir, project_dir, target_path", "our runs write to private folders"),
    Rule(
        "the order of results",
        "with several threads nodes end in any order; with one, dbt goes by level, then by name, and we by level, "
        "then by the longest path below (docs/adr/0003-scheduling-by-dependencies.md)",
    ),
    Rule(
        "after a failure under fail-fast: nodes that only one side had begun before it, and all that comes after",
        "follows from the order within a level",
    ),
    Rule("dbt_scd_id", "a snapshot's hash of the instant at which it was taken"),
)

_PATHS = frozenset({"log_path", "profiles_dir", "project_dir", "target_path", "state", "defer_state"})


_FAIL_FAST = "Skipping due to fail_fast"


def documents(ended: Ended, database: str) -> dict[str, Any]:
    """The artifacts of a step as they are compared."""
    comparable = {}
    for name, text in ended.artifacts.items():
        for place, word in {**ended.paths, database: "<database>"}.items():
            text = text.replace(place, word)
        document = json.loads(text)
        if "results" in document:
            document["results"] = {result["unique_id"]: result for result in document["results"]}
        if "args" in document:
            document["args"] = {key: value for key, value in document["args"].items() if key not in _PATHS}
        comparable[name] = document
    return comparable


def ended_early(ended: Ended) -> bool:
    """Whether fail-fast kept nodes from running."""
    return _FAIL_FAST in ended.artifacts.get("run_results.json", "")
