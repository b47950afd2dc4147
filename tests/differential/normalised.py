"""What may differ between two runs of dbt itself, each with its reason. All else must be equal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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
    Rule("instants, durations, invocation ids, thread ids", "belong to one run alone (tests/integration/equality/compare.py)"),
    Rule("the name of the database", "each side has one of its own, and PostgreSQL's sides have one server"),
    Rule("where artifacts for --state lie", "each side refers to what it has written itself"),
    Rule("args: log_path, profiles_dir, project_dir, target_path", "our runs write to private folders"),
    Rule("order of results, with more than one thread", "nodes end in any order"),
    Rule("dbt_scd_id", "a snapshot's hash of the instant at which it was taken"),
)

_PATHS = frozenset({"log_path", "profiles_dir", "project_dir", "target_path", "state", "defer_state"})


def documents(ended: Ended, database: str, *, ordered: bool) -> dict[str, Any]:
    """The artifacts of a step as they are compared."""
    comparable = {}
    for name, text in ended.artifacts.items():
        for place, word in {**ended.paths, database: "<database>"}.items():
            text = text.replace(place, word)
        document = json.loads(text)
        if "results" in document:
            results = document["results"]
            document["results"] = {result["unique_id"]: result for result in results}
            if ordered:
                document["order"] = [_kind(result["unique_id"]) for result in results]
        if "args" in document:
            document["args"] = {key: value for key, value in document["args"].items() if key not in _PATHS}
        comparable[name] = document
    return comparable


def _kind(unique_id: str) -> str:
    return unique_id


def text_of_run(message: str, names: Mapping[str, str]) -> str:
    """A message without what is one side's own."""
    for name, word in names.items():
        message = message.replace(name, word)
    return re.sub(r"\s+", " ", message)
