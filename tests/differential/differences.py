"""What differs between the command line and one of our sides after a step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from tests.differential.normalised import documents, ended_early, text_of_side
from tests.differential.scenario import Step
from tests.differential.sides import Ended
from tests.integration.equality.compare import difference
from tests.integration.equality.compare_relations import Relations, differences_of_relations

_WRITTEN = "Catalog written to "
"""Followed by a folder of the side's own."""
_DBT_CANNOT_RETRY_DOCS = "No such option '--no-static'"
"""dbt makes an option of what was not given to `docs generate` and has no word for its "no". It ends with an exception
(dbt/task/retry.py, dbt/cli/flags.py; dbt-core 1.11 and 1.12), where the run does what is left."""
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_DATABASE = re.compile(r"side_(cli|one|two)_[0-9a-f]{8}")


def step_differences(
    step: Step,
    ours: Ended,
    theirs: Ended,
    databases: tuple[str, str],
    *,
    in_order: bool,
    own: Iterable[str] = (),
) -> list[str]:
    """Of outcome and artifacts; `databases` are the names that each side's database has, and `own` is as below."""
    found: list[str] = []
    if step.retry and _DBT_CANNOT_RETRY_DOCS in theirs.message:
        return found
    if ours.success != theirs.success:
        found.append(f"success: {ours.success} != {theirs.success}; ours: {ours.message[:300]}; theirs: {_end(theirs)}")
    if ended_early(ours) or ended_early(theirs):
        return found + _own_differences(ours)
    mine, other = (
        documents(ended, name, in_order=in_order, retry=step.retry)
        for ended, name in zip((ours, theirs), databases, strict=True)
    )
    if step.options.get("compile") is False:
        mine.pop(
            "manifest.json", None
        )  # which a run's folder has for the page, where dbt's has that of another command
    found += [f"{name}: only ours; theirs: {_end(theirs)}" for name in sorted(mine.keys() - other.keys())]
    found += [f"{name}: only theirs; ours: {ours.message[:300]}" for name in sorted(other.keys() - mine.keys())]
    for name in sorted(mine.keys() & other.keys()):
        lines = difference(mine[name], other[name], name)
        found += [line for line in lines if not any(re.match(f"{each}: ", line) for each in own)]
    return found + _own_differences(ours) + _shown_differences(ours, theirs)


def database_differences(
    ours: Relations,
    theirs: Relations,
    sides: tuple[Ended, Ended],
    databases: tuple[str, str],
    own: Iterable[str] = (),
) -> list[str]:
    """Of relations and their rows, which may name what belongs to a side alone: its database, and what `sides` know.

    `own` are the columns whose values are not compared (`Scenario.own`).
    """
    names = [{**side.paths, name: "<database>"} for side, name in zip(sides, databases, strict=True)]
    mine, other = (_renamed(relations, words, own) for relations, words in zip((ours, theirs), names, strict=True))
    return [f"relations: {each}" for each in differences_of_relations(mine, other)]


def _renamed(relations: Relations, words: Mapping[str, str], own: Iterable[str]) -> Relations:
    renamed: Relations = {}
    for name, (kind, columns, rows) in relations.items():
        compared = [not any(re.fullmatch(each, f"{name}.{column}") for each in own) for column, _ in columns]
        plain = [
            tuple(text_of_side(value, words) if equal else "own" for value, equal in zip(row, compared, strict=False))
            for row in rows
        ]
        renamed[name] = (kind, columns, sorted(plain))
    return renamed


def _own_differences(ours: Ended) -> list[str]:
    """Where the output of our run says something else than its artifacts do."""
    text = ours.artifacts.get("run_results.json")
    if text is None:
        return []
    found = []
    recorded = {result["unique_id"]: result for result in json.loads(text)["results"]}
    for node in ours.nodes:
        result = recorded.get(node.unique_id)
        if result is None and node.unique_id.startswith("catalog."):
            continue  # of which dbt has no result
        is_unit_test = node.unique_id.startswith("unit_test.")
        if result is None and is_unit_test and node.status == "skipped" and ended_early(ours):
            continue  # nor of one that was not reached when fail-fast ended the run
        if result is None:
            found.append(f"output: {node.unique_id} is not in run_results.json")
        elif node.dbt_status != result["status"]:
            found.append(f"output: {node.unique_id}: {node.dbt_status} != {result['status']} of run_results.json")
        if node.attempts > 1:
            found.append(f"output: {node.unique_id} was tried {node.attempts} times: {node.message}")
    return found


def _shown_differences(ours: Ended, theirs: Ended) -> list[str]:
    """Lines that our results say dbt shows, and the command line has not shown."""
    shown = _DATABASE.sub("<database>", _COLOR.sub("", theirs.message))
    printed = _DATABASE.sub("<database>", "\n".join(node.output or "" for node in ours.nodes))
    lines = [line.strip() for line in printed.splitlines()]
    return [f"output: not on the command line: {line}" for line in lines if line not in shown and _WRITTEN not in line]


def _end(theirs: Ended) -> str:
    return _COLOR.sub("", theirs.message)[-600:]
