"""Where a run stands: statuses, results and counts, and how they are told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from copy import copy
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from dbt_temporal.domain.results import NodeExecutionResult, NodeStatus
from dbt_temporal.domain.run.plan import ExecutionPlan

MAX_NAMED = 5
"""How many nodes a message names."""
MAX_REASON_CHARS = 300

_PROGRESS = (
    "phase", "fail_fast", "notice", "unrecorded", "behind", "behind_if_failed", "_upstream_skips", "_error_types",
    "_retries",
)  # fmt: skip
"""What of a run's state is plain data."""


class RunState:
    """The state of one run. `phase` is one of the contract's words."""

    def __init__(self) -> None:
        self.phase = "initializing"
        self.fail_fast = False
        self.notice: str | None = None
        """What the run waits for, if it does."""
        self.plan: ExecutionPlan | None = None
        self.statuses: dict[str, str] = {}
        self.results: list[NodeExecutionResult] = []
        """Project hooks and nodes, in the order in which they ended."""
        self.unrecorded: list[str] = []
        """Nodes whose result is no attempt's own word: the attempt was lost, cancelled, or ran out of time."""
        self.behind: dict[str, str] | None = None
        self.behind_if_failed: dict[str, str] = {}
        """Skipped nodes with the skipped ephemeral model that took its turn last above them; None where the run does
        not know."""
        self._upstream_skips: dict[str, None] = {}
        self._error_types: dict[str, str] = {}
        self._retries: dict[str, str] = {}
        self._problems: list[tuple[str, str, str]] = []
        self._counts = dict.fromkeys(("pending", "running", "success", "error", "skipped", "cancelled"), 0)
        self._ids: dict[str, dict[str, None]] = {"running": {}, "error": {}, "skipped": {}, "cancelled": {}}
        self._reasons: dict[str, str] = {}
        self._failed_hooks: list[NodeExecutionResult] = []
        self._level_of: dict[str, int] = {}
        self._open_in_level: list[int] = []

    def plan_known(self, plan: ExecutionPlan) -> None:
        """The plan is made (or made again, before anything ran)."""
        self.plan = plan
        self.statuses = dict.fromkeys(plan.nodes, "pending")
        self._counts = dict.fromkeys(self._counts, 0)
        self._counts["pending"] = len(plan.nodes)
        self._level_of = {unique_id: level for level, ids in enumerate(plan.levels) for unique_id in ids}
        self._open_in_level = [len(ids) for ids in plan.levels]
        for ids in self._ids.values():
            ids.clear()

    def plan_changed(self, plan: ExecutionPlan) -> None:
        """The run goes on by another plan: nodes that are not in it are no part of the run any more."""
        before, results = self.statuses, self.results
        gone = before.keys() - plan.nodes.keys()
        self.plan_known(plan)
        self.results = [result for result in results if result.unique_id not in gone]
        self.unrecorded = [unique_id for unique_id in self.unrecorded if unique_id not in gone]
        self._set_all({uid: status for uid, status in before.items() if uid not in gone and status != "pending"})

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues; without the plan and `results`."""
        return {
            "progress": {name: copy(getattr(self, name)) for name in _PROGRESS},
            "statuses": {uid: status for uid, status in self.statuses.items() if status != "pending"},
            "problems": [list(problem) for problem in self._problems],
        }

    def restore(self, plan: ExecutionPlan, snapshot: Mapping[str, Any], results: Iterable[NodeExecutionResult]) -> None:
        """Continues where the snapshot was taken."""
        self.plan_known(plan)
        for name in _PROGRESS:
            if name in snapshot["progress"]:  # what a release before this one has carried may lack one
                setattr(self, name, copy(snapshot["progress"][name]))
        self.results = list(results)
        self._failed_hooks = [each for each in self.results if self._is_failed_hook(each)]
        self._reasons = {each.unique_id: self._reason(each) for each in self.results if each.status in self._ids}
        self._problems = [(what, error_type, message) for what, error_type, message in snapshot["problems"]]
        self._set_all(snapshot["statuses"])

    def node_started(self, unique_id: str) -> None:
        """A node runs."""
        self._set(unique_id, "running")

    def node_retried(self, unique_id: str, attempt: int, most: int, reason: str, next_at: datetime) -> None:
        """An attempt at a node has failed, and another one comes."""
        when = f"attempt {attempt} of {most} from {next_at:%H:%M:%S} UTC on"
        self._retries[unique_id] = f"{when}, after {first_line(reason)}"

    def node_ended(
        self, result: NodeExecutionResult, *, error_type: str | None = None, skipped_by_parent: bool = False
    ) -> None:
        """A node has ended; `skipped_by_parent` tells a skip that dbt itself reports without a message."""
        self._set(result.unique_id, result.status)
        self._retries.pop(result.unique_id, None)
        node = self.plan.nodes.get(result.unique_id) if self.plan else None
        if node is None or not node.unreported or result.status != "success":
            self.results.append(result)
        if error_type is not None:
            self._error_types[result.unique_id] = error_type
        if skipped_by_parent:
            self._upstream_skips[result.unique_id] = None
        if result.status in self._ids:
            self._reasons[result.unique_id] = self._reason(result)
        level = self._level_of.get(result.unique_id)
        if level is not None:
            self._open_in_level[level] -= 1

    def nodes_reopened(self, unique_ids: Collection[str]) -> None:
        """Nodes that had ended run again, or are skipped again: what they came to does not count any more."""
        opened = frozenset(unique_ids)
        self.results = [result for result in self.results if result.unique_id not in opened]
        self.unrecorded = [unique_id for unique_id in self.unrecorded if unique_id not in opened]
        for unique_id in unique_ids:
            self._set(unique_id, "pending")
            self._error_types.pop(unique_id, None)
            self._upstream_skips.pop(unique_id, None)
            if self.behind is not None:
                self.behind.pop(unique_id, None)
            self.behind_if_failed.pop(unique_id, None)
            level = self._level_of.get(unique_id)
            if level is not None:
                self._open_in_level[level] += 1

    def project_hook_ended(self, result: NodeExecutionResult) -> None:
        """An on-run-start or on-run-end hook has ended."""
        self.results.append(result)
        if self._is_failed_hook(result):
            self._failed_hooks.append(result)

    def problem(self, what: str, error_type: str, message: str) -> None:
        """Something other than a node went wrong, and the run with it."""
        self._problems.append((what, error_type, message))

    def problem_is_past(self, what: str) -> None:
        """It may come again; until then it does not count."""
        self._problems = [problem for problem in self._problems if problem[0] != what]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many nodes have each status."""
        return self._counts

    def ids_of(self, status: str) -> Mapping[str, None]:
        """The nodes that are running, error, skipped or cancelled, in the order in which they became so."""
        return self._ids[status]

    @property
    def retries(self) -> Mapping[str, str]:
        """The nodes at which further attempts are made, or come next: which one, and why, on one line."""
        return self._retries

    def reason_of(self, unique_id: str) -> str:
        """Why a node has not ended well, on one line."""
        return self._reasons.get(unique_id, "")

    @property
    def problems(self) -> list[tuple[str, str]]:
        """What went wrong besides nodes: what it was, and the message."""
        of_hooks = [(hook.unique_id, hook.message or "") for hook in self._failed_hooks]
        return [(what, message) for what, _, message in self._problems] + of_hooks

    @property
    def node_results(self) -> list[NodeExecutionResult]:
        """The results of nodes, without those of project hooks."""
        return [result for result in self.results if result.unique_id in self.statuses]

    @property
    def results_as_dbt_has_them(self) -> list[NodeExecutionResult]:
        """All results as dbt's own: a node skipped for its parents has no message there."""
        return [
            result.model_copy(update={"message": None}) if result.unique_id in self._upstream_skips else result
            for result in self.results
        ]

    @property
    def ended(self) -> dict[str, NodeStatus]:
        """How the nodes have ended that have."""
        return {result.unique_id: result.status for result in self.node_results}

    @property
    def success(self) -> bool:
        """dbt's rule (dbt/task/runnable.py, interpret_results): any error, failure or skip but an exposure's fails."""
        return not self._problems and not any(self._fails_the_run(result) for result in self.results)

    @property
    def ends_with_error(self) -> bool:
        """Whether a command that ends at its first error has done so; under fail-fast dbt ends it in another way."""
        return not self.fail_fast and any(result.dbt_status == "error" for result in self.node_results)

    def run_status(self) -> dict[str, Any]:
        """The answer to the query `run_status`."""
        return {
            "phase": self.phase,
            "total_nodes": len(self.statuses),
            "total_levels": len(self._open_in_level),
            "completed_levels": sum(1 for open_nodes in self._open_in_level if open_nodes == 0),
            "succeeded": self._counts["success"],
            "failed": self._counts["error"] + self._counts["cancelled"],
            "skipped": self._counts["skipped"],
            "running": self._counts["running"],
            "fail_fast": self.fail_fast,
        }

    def failure_message(self) -> str:
        """Why the run failed, for the message of DbtRunFailed: how many nodes, and the first of them by name."""
        parts = [f"{what} failed ({error_type}: {first_line(message)})" for what, error_type, message in self._problems]
        hooks = [r for r in self.results if r.unique_id not in self.statuses and r.status == "error"]
        parts += [f"{hook.unique_id} failed ({first_line(hook.message)})" for hook in hooks]
        nodes = self.node_results
        total = len(self.statuses)
        failed = [result for result in nodes if result.status in ("error", "cancelled")]
        skipped = [result for result in nodes if result.status == "skipped" and self._fails_the_run(result)]
        if failed:
            named = [f"{r.unique_id} ({self._reason(r)})" for r in failed[:MAX_NAMED]]
            if len(failed) > MAX_NAMED:
                named.append(f"and {len(failed) - MAX_NAMED} more")
            parts.append(f"{len(failed)} of {total} nodes failed: {', '.join(named)}")
        elif skipped:
            parts.append(
                f"{len(skipped)} of {total} nodes were skipped: {_first((r.unique_id for r in skipped), len(skipped))}"
            )
        return "; ".join(parts) or "the run failed"

    def _set_all(self, statuses: Mapping[str, str]) -> None:
        for unique_id, status in statuses.items():
            self._set(unique_id, status)
            level = self._level_of.get(unique_id)
            if level is not None and status != "running":
                self._open_in_level[level] -= 1

    def _set(self, unique_id: str, status: str) -> None:
        self._counts[self.statuses[unique_id]] -= 1
        self._counts[status] += 1
        if (before := self.statuses[unique_id]) in self._ids:
            del self._ids[before][unique_id]
        if status in self._ids:
            self._ids[status][unique_id] = None
        self.statuses[unique_id] = status

    def _fails_the_run(self, result: NodeExecutionResult) -> bool:
        if result.status == "skipped" and self.plan is not None:
            node = self.plan.nodes.get(result.unique_id)
            return node is None or node.resource_type != "exposure"
        return result.status in ("error", "cancelled", "skipped")

    def _is_failed_hook(self, result: NodeExecutionResult) -> bool:
        return result.unique_id not in self.statuses and result.status == "error"

    def _reason(self, result: NodeExecutionResult) -> str:
        if result.status == "skipped":
            return first_line(result.message) if result.message else "skipped"
        error_type = self._error_types.get(result.unique_id) or result.dbt_status or result.status
        return f"{error_type}: {first_line(result.message)}" if result.message else error_type


@lru_cache(maxsize=32)  # of thousands that are skipped, it is the same one
def first_line(message: str | None) -> str:
    """The first lines of a message as one, short enough for a headline."""
    lines = [line.strip() for line in (message or "no message").splitlines() if line.strip()]
    # dbt puts the kind of error on the first line and what happened on the second; what that announces comes after it.
    text = " ".join(lines if len(lines) > 1 and lines[1].endswith(":") else lines[:2])
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"


def _first(names: Iterable[str], count: int) -> str:
    named = ", ".join(islice(names, MAX_NAMED))
    return named + (f" and {count - MAX_NAMED} more" if count > MAX_NAMED else "")
