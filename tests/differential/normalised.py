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
    Rule(
        "instants, durations, invocation ids, thread ids",
        "belong to one run alone (tests/integration/equality/compare.py)",
    ),
    Rule("the name of the database", "each side has one of its own, and PostgreSQL's sides have one server"),
    Rule("where artifacts for --state lie", "each side refers to what it has written itself"),
    Rule("args: log_path, profiles_dir, project_dir, target_path", "our runs write to private folders"),
    Rule("the order of results, with several threads", "nodes end in any order"),
    Rule(
        "with one thread, the order of results that wait for others",
        "what became ready earlier comes first only if the thread that hands out nodes has looked meanwhile",
    ),
    Rule(
        "with several threads, what DuckDB's messages suggest in place of a relation that is not there",
        "one that is there at that moment, and other threads make some meanwhile",
    ),
    Rule(
        "after a failure under fail-fast: nodes that only one side had begun before it, and all that comes after",
        "dbt's own threads race: the next node is handed out while the failed one's result is still being handled",
    ),
    Rule(
        "what dbt keeps of a parse under another --store-failures: it parses anew there",
        "partial parsing does not look at the flag, so the names of audit tables would be those of the command before",
    ),
    Rule(
        "what dbt keeps of a parse under --warn-error and --warn-error-options: it parses anew there",
        "partial parsing does not look at files again of which it has warned before, so it would not fail",
    ),
    Rule(
        "with several threads, whether a skipped node with several parents names an ephemeral one as the cause",
        "it names the parent that was handled last, and those of one level are skipped side by side",
    ),
    Rule(
        "the order of nodes that are skipped because on-run-start failed",
        "dbt takes them out of a set, in another order each time",
    ),
    Rule("the order of models in manifest.json's group_map", "it is that in which partial parsing has read files anew"),
    Rule("dbt_scd_id", "a snapshot's hash of the instant at which it was taken"),
)

_PATHS = frozenset({"log_path", "profiles_dir", "project_dir", "target_path", "state", "defer_state"})


_SIDE = re.compile(r"side_[a-z]*(_[0-9a-f]*)?\.\.\.")
"""What PostgreSQL's messages have of a database's name where they cut a line off."""
_CUT_SIDE = re.compile(r'\.\.\.[a-z0-9_]*(?=\\"\.\\"main\\")')
"""The same where they cut off a line's begin."""
_SUGGESTED = re.compile(r'Did you mean \\".*?\\"\?')

_EPHEMERAL_CAUSE = "caused by compilation error in referenced ephemeral model"

_FAIL_FAST = "Skipping due to fail_fast"


def documents(ended: Ended, database: str, *, in_order: bool, retry: bool = False) -> dict[str, Any]:
    """The artifacts of a step as they are compared; `in_order` where results have an order that dbt would repeat."""
    comparable = {}
    for name, text in ended.artifacts.items():
        text = text_of_side(text, {**ended.paths, database: "<database>"})
        text = _CUT_SIDE.sub("...", _SIDE.sub("side_...", text))
        document = json.loads(text if in_order else _SUGGESTED.sub("", text))
        if "results" in document:
            if in_order:
                comparable[f"{name}: order"] = _first(document["results"], ended.artifacts.get("manifest.json"))
            else:
                _forget_causes(document["results"], ended.artifacts.get("manifest.json"))
            document["results"] = {result["unique_id"]: result for result in document["results"]}
        if "args" in document:
            document["args"] = (
                {} if retry else {key: value for key, value in document["args"].items() if key not in _PATHS}
            )
        for members in document.get("group_map", {}).values():
            members.sort()
        comparable[name] = document
    return comparable


def _first(results: list[dict[str, Any]], manifest: str | None) -> list[str]:
    """The nodes that waited for none of the others, in their order."""
    parents = _parents(manifest)
    # Ephemeral models have a turn in dbt's queue, too, and no result.
    ran = {result["unique_id"] for result in results} | _ephemeral(manifest)

    def waited(unique_id: str, seen: set[str]) -> bool:
        above = [each for each in parents.get(unique_id, []) if each not in seen]
        return any(each in ran or waited(each, seen | {each}) for each in above)

    first = [result for result in results if not waited(result["unique_id"], set())]
    if any(_is_hook(result, "start") and result["status"] == "error" for result in first):
        first.sort(key=lambda result: (_is_hook(result, "end"), not _is_hook(result, "start"), result["unique_id"]))
    return [result["unique_id"] for result in first]


def _is_hook(result: dict[str, Any], when: str) -> bool:
    return f"-on-run-{when}-" in result["unique_id"] and result["unique_id"].startswith("operation.")


def _forget_causes(results: list[dict[str, Any]], manifest: str | None) -> None:
    """Takes the ephemeral cause from the messages of skipped nodes that have several parents."""
    skipped = [result for result in results if _EPHEMERAL_CAUSE in str(result.get("message"))]
    parents = _parents(manifest) if skipped else {}
    for result in skipped:
        if result["status"] == "skipped" and len(parents.get(result["unique_id"], ())) > 1:
            result["message"] = None


def _ephemeral(manifest: str | None) -> set[str]:
    nodes = json.loads(manifest)["nodes"] if manifest else {}
    return {unique_id for unique_id, node in nodes.items() if node["config"].get("materialized") == "ephemeral"}


def _parents(manifest: str | None) -> dict[str, list[str]]:
    return json.loads(manifest)["parent_map"] if manifest else {}


def text_of_side(text: str, names: Mapping[str, str]) -> str:
    """A text with words for what is one side's own, in whatever letters it stands there."""
    for name, word in names.items():
        text = text.replace(name, word).replace(name.upper(), word)
    return text


def ended_early(ended: Ended) -> bool:
    """Whether fail-fast kept nodes from running."""
    return _FAIL_FAST in ended.artifacts.get("run_results.json", "")
