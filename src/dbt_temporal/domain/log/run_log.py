"""The run log: what happened in a run, in the style of dbt's console, lines in the order of events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from dbt_temporal.domain.batches import Batches, EndedBatch
from dbt_temporal.domain.log.said import noted, plain, said_in, unmarked
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.commands import OPERATION_KINDS
from dbt_temporal.domain.run.plan import NodeInfo
from dbt_temporal.domain.run.turns import SkippedNode

Told = TypeVar("Told", str, dict[str, Any])

_INDENT = "     "
_WORDS = {"success": "OK", "pass": "PASS", "warn": "WARN", "fail": "FAIL", "error": "ERROR", "runtime error": "ERROR"}
_COUNTED_AS = {
    "success": "PASS",
    "pass": "PASS",
    "warn": "WARN",
    "error": "ERROR",
    "fail": "ERROR",
    "runtime error": "ERROR",
    "partial success": "ERROR",
    "skipped": "SKIP",
    "no-op": "NO-OP",
    "reused": "REUSED",
    "cancelled": "CANCELLED",
}
"""dbt/task/printer.py, interpret_run_result. A word that dbt adds later is counted by the contract's status."""


def node_kind(node: NodeInfo) -> str:
    """What the log calls a node's kind: `table_model`, `view_model`, `seed`, `test`, ..."""
    if node.resource_type == "model" and node.materialization:
        return f"{node.materialization}_model"
    return node.resource_type


def node_label(node: NodeInfo) -> str:
    """What the log calls a node: its relation, or `package.name` where it makes none; of a source, `source.table`."""
    if node.resource_type == "source":
        return node.unique_id.removeprefix(f"source.{node.package_name}.")
    return node.relation or f"{node.package_name}.{node.name}"


class RunLog:
    """Grows by one or more lines for each event."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._total = 0
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def text(self) -> str:
        """The whole log, as log.txt holds it."""
        return "".join(f"{line}\n" for line in self.since())

    def tail(self, count: int) -> list[str]:
        """The newest lines, oldest of them first."""
        return self.since(max(len(self._lines) - count, 0)) if count > 0 else []

    def since(self, index: int = 0) -> list[str]:
        """The lines from a position on."""
        return [plain(line) for line in self._lines[index:]]

    def carried(self) -> list[str]:
        """All lines with what `restore` has to know of them."""
        return list(self._lines)

    def part(self, since: int, limit: int | None) -> list[str]:
        """The lines from a position on, as many of them as have so many bytes as JSON together, but one at least."""
        return _first_of((plain(line) for line in self._lines[since:]), limit)

    def said_part(self, since: int, until: int, limit: int | None) -> list[dict[str, Any]]:
        """What dbt and the project have said in these lines, as `SaidEvent`s, no more than so many bytes."""
        said = said_in(self._lines[since:until], since)
        return _first_of((event.model_dump(exclude_defaults=True) for event in said), limit)

    def numbered(self, since: int = 0) -> list[str]:
        """unique_ids of the nodes that have numbers here, in the order of these, without the first `since`."""
        return list(self._numbers)[since:]

    def snapshot(self) -> dict[str, Any]:
        """What is known beside the lines as plain JSON data, from which `restore` continues."""
        return {"total": self._total, "numbers": dict(self._numbers)}

    def restore(self, snapshot: Mapping[str, Any], lines: Iterable[str]) -> None:
        """Continues where the snapshot was taken, with the lines that were carried."""
        self._lines, self._total = list(lines), snapshot["total"]
        self._numbers = dict(snapshot["numbers"])

    def add(self, text: str) -> None:
        """Writes text as it is, each of its lines as one."""
        self._lines += unmarked(text).splitlines() or [""]

    def say(self, messages: str | None, unique_id: str = "", indent: str = "") -> None:
        """Writes what dbt or the project has said (`domain.log.said`), for a node or hook, or for none."""
        self._lines += noted(messages or "", unique_id, indent)

    def header(self, version: str) -> None:
        """Says what runs."""
        self.add(f"Running with dbt-temporal={version}")

    def project(self, name: str, **facts: str | None) -> None:
        """Says which project it is, and what is known of it: its engine, its revision, ..."""
        known = [f"{fact}={value}" for fact, value in facts.items() if value]
        self.add(" ".join([f"Project {name}:", *known]) if known else f"Project {name}")

    def planned(self, counts: Mapping[str, int], total: int, levels: int, threads: int, target: str | None) -> None:
        """Says what the project holds and how much of it runs.

        Args:
            counts: how many of each resource type the project holds.
            total: how many nodes the run executes.
            levels: how many levels its graph has.
            threads: how many nodes run at once.
            target: the profile's target.
        """
        contents = ", ".join(_plural(count, kind.replace("_", " ")) for kind, count in counts.items() if count)
        self.add(f"Found {contents}" if contents else "Found nothing")
        aim = f" (target='{target}')" if target else ""
        self.add(f"Concurrency: {_plural(threads, 'thread')}, {_plural(levels, 'parallel level')}{aim}")
        self.add("")
        self._total = total

    def started(self, node: NodeInfo) -> None:
        """A node starts."""
        self.add(f"{self._number(node)} START {node_kind(node)} {node_label(node)}")

    def retried(
        self, node: NodeInfo, attempt: int, max_attempts: int, reason: str, messages: str | None = None
    ) -> None:
        """An attempt at a node failed, after what it has had dbt say, and another will be made."""
        what = f"{node_kind(node)} {node_label(node)}"
        self.retried_step(what, attempt, max_attempts, reason, messages, node.unique_id)

    def retried_step(
        self,
        what: str,
        attempt: int,
        max_attempts: int,
        reason: str,
        messages: str | None = None,
        unique_id: str = "",
    ) -> None:
        """The same of a step that is no node."""
        self.add(f"  => {what}  [RETRY after attempt {attempt} of {max_attempts}]")
        self.say(messages, unique_id, _INDENT)
        self._add_message(reason)

    def batch_ended(self, node: NodeInfo, batches: Batches, ended: EndedBatch, messages: str | None = None) -> None:
        """A batch of a microbatch model has ended, after what it has had dbt say."""
        word = _WORDS.get(ended.status, ended.status.upper())
        seconds = f" in {ended.execution_time:.2f}s" if ended.status != "skipped" else ""
        number = f"batch {ended.index + 1} of {len(batches.windows)}"
        self.add(f"  => {number} of {node_label(node)}: {batches.names[ended.index]}  [{word}{seconds}]")
        self.say(messages, node.unique_id, _INDENT)
        self._add_message(ended.message)

    def ended(self, node: NodeInfo, result: NodeExecutionResult) -> None:
        """A node that ran has ended."""
        word = _WORDS.get(result.dbt_status or result.status, (result.dbt_status or result.status).upper())
        count = f" {result.failures}" if word in ("WARN", "FAIL") and result.failures is not None else ""
        what = f"{node_kind(node)} {node_label(node)}"
        if result.status == "cancelled":
            self.add(f"  => {what}  [CANCELLED]")
        else:
            age = result.freshness.age_in_words() if result.freshness is not None else None
            told = f"  {age}" if age else ""
            self.add(f"  => {what}  [{word}{count} in {result.execution_time:.2f}s]{told}")
        if node.resource_type in OPERATION_KINDS:
            self._add_message(result.output)
        self.say(result.messages, node.unique_id, _INDENT)
        if result.status == "error" or word == "WARN":
            self._add_message(result.message)

    def skipped(self, node: NodeInfo, skip: SkippedNode) -> None:
        """A node will not run."""
        self.add(f"{self._number(node)} SKIP {node_kind(node)} {node_label(node)}  [{skip.reason}]")

    def accepted(self, node: NodeInfo, result: NodeExecutionResult) -> None:
        """A node counts as done, by an operator's word."""
        self.add(f"{self._number(node)} ACCEPT {node_kind(node)} {node_label(node)}")
        self._add_message(result.message)

    def listed(self, text: str) -> None:
        """`list` found a node."""
        self.add(text)

    def project_hook(self, result: NodeExecutionResult) -> None:
        """One on-run-start or on-run-end hook has ended."""
        word = _WORDS.get(result.dbt_status or result.status, result.status.upper())
        self.add(f"  => hook {result.unique_id}  [{word} in {result.execution_time:.2f}s]")
        self.say(result.messages, result.unique_id, _INDENT)
        if result.status == "error":
            self._add_message(result.message)

    def lifecycle_hook(self, event: str, workflow_type: str, what: str) -> None:
        """A hook workflow has started or ended."""
        first, *rest = what.splitlines() or [""]
        self.add(f"{event} hook {workflow_type}: {first}")
        for line in rest:
            self.add(f"{_INDENT}{line}")

    def problem(self, what: str, message: str) -> None:
        """Something beside the nodes went wrong."""
        self.add(f"{what} failed:")
        self._add_message(message)

    def finished(self, node_count: int, elapsed: float, results: Iterable[NodeExecutionResult]) -> None:
        """The last lines: how long it took, and dbt's own summary line."""
        self.add("")
        self.add(f"Finished running {_plural(node_count, 'node')} in {elapsed:.2f}s.")
        self.add(summary_line(results))

    def _number(self, node: NodeInfo) -> str:
        number = self._numbers.setdefault(node.unique_id, len(self._numbers) + 1)
        return f"{number} of {self._total}"

    def _add_message(self, message: str | None) -> None:
        for line in (message or "").splitlines():
            self._lines.append(f"{_INDENT}{line}")


def summary_line(results: Iterable[NodeExecutionResult]) -> str:
    """dbt's summary (dbt/events/types.py, StatsLine). REUSED and CANCELLED stand there only where there are any."""
    counts = dict.fromkeys(("PASS", "WARN", "ERROR", "SKIP", "NO-OP", "REUSED", "CANCELLED"), 0)
    total = 0
    for result in results:
        word = result.status if result.status in ("cancelled", "skipped") else result.dbt_status or result.status
        counts[_COUNTED_AS.get(word) or _COUNTED_AS[result.status]] += 1
        total += 1
    shown = [f"{key}={n}" for key, n in counts.items() if n or key not in ("REUSED", "CANCELLED")]
    return f"Done. {' '.join(shown)} TOTAL={total}"


def _first_of(told: Iterable[Told], limit: int | None) -> list[Told]:
    """As many as have so many bytes as JSON together, but one at least."""
    size, first = 0, list[Told]()
    for each in told:
        size += 0 if limit is None else len(json.dumps(each, ensure_ascii=False).encode(errors="replace")) + 1
        if limit is not None and size > limit and first:
            break
        first.append(each)
    return first


def _plural(count: int, thing: str) -> str:
    if count == 1:
        return f"1 {thing}"
    return f"{count} {thing[:-1]}ies" if thing.endswith("y") else f"{count} {thing}s"
