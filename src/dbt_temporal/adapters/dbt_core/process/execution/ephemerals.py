"""Compiling ephemeral models before their users, one at a time, as dbt's queue does.

dbt-core 1.11 makes different SQL when users of an uncompiled ephemeral chain compile at once; and where a selected
ephemeral model fails, dbt skips its users with a message that names it.
Checked on dbt-core 1.11.16 and 1.12.0.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection, Sequence
from typing import Any

from dbt.artifacts.schemas.results import NodeStatus
from dbt.task.compile import CompileRunner
from dbt.task.show import ShowTask

from dbt_temporal.adapters.dbt_core.process.artifacts.records import changed_fields, resource_fields, use_own_paths
from dbt_temporal.adapters.dbt_core.process.database.request import Request
from dbt_temporal.adapters.dbt_core.process.events import NodeCapture
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun, is_ephemeral


class Ephemerals:
    """The ephemeral models of a run, compiled once per host."""

    def __init__(self, run: HostRun) -> None:
        self._run = run
        self._lock = threading.RLock()
        self._changed: dict[str, dict[str, Any]] = {}
        """What compiling changed of each model that is compiled, or has failed in its turn."""
        self._pristine: dict[str, Any] = {}
        """Those that are compiled, as they were parsed."""
        self._failed: dict[str, Any] = {}
        """Results of those that failed in their turns: the models that use them are not built, whatever comes later."""
        queue = getattr(run.task.job_queue, "graph", None)
        self._selected = frozenset(queue or ())

    def take_turns(self, unique_ids: Sequence[str], request: Request) -> None:
        """Compiles models now that dbt's queue would hand out now: what they look up may be another thing later."""
        with request.holding(self._lock):
            for unique_id in unique_ids:
                if unique_id in self._failed or self._failed.keys() & set(self._ancestors(unique_id)):
                    continue
                self.before(unique_id, NodeCapture(), request)
                self._compile(unique_id, NodeCapture(), in_turn=True)

    def before(self, unique_id: str, capture: NodeCapture, request: Request) -> tuple[Any, list[str]]:
        """Compiles what a node inlines.

        Returns:
            the result of the selected ephemeral model that failed, or None; and the ids of all that were compiled.
        """
        needed = self._ancestors(unique_id)
        with request.holding(self._lock):
            for ephemeral in needed:
                failure = self._compile(ephemeral, capture)
                if failure is not None and ephemeral in self._selected:
                    return failure, needed
        return None, needed

    def any_left(self, done: set[str]) -> bool:
        """Whether a selected ephemeral model is not among `done`."""
        return any(is_ephemeral(self._run.manifest.expect(unique_id)) for unique_id in self._selected - done)

    def compile_rest(self, done: set[str], request: Request) -> None:
        """Compiles selected ephemeral models that nobody used, as dbt does for manifest.json, and adds to `done`."""
        with request.holding(self._lock):
            for unique_id in sorted(self._selected - done):
                if is_ephemeral(self._run.manifest.expect(unique_id)):
                    _, used = self.before(unique_id, NodeCapture(), request)
                    self._compile(unique_id, NodeCapture())
                    done.update(used)

    def forget_unused(self, done: set[str]) -> None:
        """Makes those uncompiled again that are neither selected nor among `done`: what inlines them failed before."""
        self._forget(self._pristine.keys() - self._selected - done)

    def forget_all(self) -> None:
        """Makes all of them uncompiled again."""
        self._forget(self._pristine.keys())

    def _forget(self, unique_ids: Collection[str]) -> None:
        for unique_id in list(unique_ids):
            self._run.manifest.nodes[unique_id] = self._pristine.pop(unique_id)
            del self._changed[unique_id]

    def changed_fields(self, unique_id: str) -> dict[str, Any]:
        """What compiling changed of an ephemeral model; nothing where that failed for now."""
        return self._changed.get(unique_id, {})

    def _ancestors(self, unique_id: str) -> list[str]:
        """Ephemeral models that a node inlines, directly or by others, users after what they use.

        A unit test inlines none: dbt compiles the model's text with what is given in place of all that it refers to.
        """
        if unique_id in self._run.manifest.unit_tests:
            return []
        ordered: dict[str, None] = {}

        def visit(node: Any) -> None:
            for above in node.depends_on_nodes:
                parent = self._run.manifest.nodes.get(above)
                if parent is not None and is_ephemeral(parent) and above not in ordered:
                    visit(parent)
                    ordered[above] = None

        visit(self._run.manifest.expect(unique_id))
        return list(ordered)

    def _runner(self, node: Any) -> Any:
        # What is shown has the limit in its text, in that of its users too; what is not would be previewed as well.
        if isinstance(self._run.task, ShowTask) and node.unique_id not in self._selected:
            return CompileRunner(self._run.project.config, self._run.adapter, node, 0, 0)
        return self._run.task.get_runner(node)

    def _compile(self, unique_id: str, capture: NodeCapture, *, in_turn: bool = False) -> Any:
        if unique_id in self._changed:
            return self._failed.get(unique_id)
        nodes = self._run.manifest.nodes
        pristine = copy.deepcopy(nodes[unique_id])
        with self._run.router.capturing(unique_id, capture):
            with self._run.lock:
                runner = self._runner(nodes[unique_id])
            result = self._run.task.call_runner(runner)
        use_own_paths(self._run, nodes[unique_id])
        changed = changed_fields(resource_fields(pristine), nodes[unique_id])
        if result.status == NodeStatus.Error:
            if in_turn:
                self._changed[unique_id], self._failed[unique_id] = changed, result
            nodes[unique_id] = pristine  # another attempt starts afresh
            return result
        self._changed[unique_id] = changed
        self._pristine[unique_id] = pristine
        return None
