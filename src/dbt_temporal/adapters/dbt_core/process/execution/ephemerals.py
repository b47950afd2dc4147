"""Compiling ephemeral models before their users, one at a time, as dbt's queue does.

dbt-core 1.11 makes different SQL when users of an uncompiled ephemeral chain compile at once; and where a selected
ephemeral model fails, dbt skips all that is below it, across what is not selected too, with a message that names it.
Checked on dbt-core 1.11.16 and 1.12.0.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

import networkx as nx
from dbt.artifacts.schemas.results import NodeStatus
from dbt.task.compile import CompileRunner
from dbt.task.show import ShowTask

from dbt_temporal.adapters.dbt_core.process.artifacts.records import changed_fields, resource_fields, use_own_paths
from dbt_temporal.adapters.dbt_core.process.database.request import Request
from dbt_temporal.adapters.dbt_core.process.events import Messages, NodeCapture
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun, is_ephemeral
from dbt_temporal.domain.log.said import read_line


class Ephemerals:
    """The ephemeral models of a run, compiled once per host."""

    def __init__(self, run: HostRun) -> None:
        self._run = run
        self._lock = threading.RLock()
        self._changed: dict[str, dict[str, Any]] = {}
        """What compiling changed of each model that is compiled, or has failed in its turn."""
        self._pristine: dict[str, Any] = {}
        """Those that are compiled, as they were parsed."""
        self._failed_in_turn: dict[str, Any] = {}
        """Results of those that failed in their turns: the models that use them are not built, whatever comes later."""
        self.failed: set[str] = set()
        """Selected ones that do not compile, in their turns or before a node."""
        self._queue = getattr(run.task.job_queue, "graph", None) or nx.DiGraph()
        self._selected = frozenset(self._queue)

    def take_turns(self, unique_ids: Sequence[str], request: Request, said: Messages) -> None:
        """Compiles models now that dbt's queue would hand out now: what they look up may be another thing later.

        What they have dbt say goes, with their names, to the node that comes after them: they have no result.
        """
        with request.holding(self._lock):
            for unique_id in unique_ids:
                capture = NodeCapture()
                cause, _ = self.before(unique_id, capture, request)
                if cause is None:
                    self._compile(unique_id, capture, in_turn=True)
                for line in capture.said.lines():
                    kind, text = read_line(line)
                    said.add(f"{self._run.manifest.expect(unique_id).name}: {text}", kind)

    def before(self, unique_id: str, capture: NodeCapture, request: Request) -> tuple[Any, list[str]]:
        """Compiles what a node inlines, and the selected models for which dbt's queue would have it wait.

        Returns:
            the result of the selected ephemeral model for which dbt skips the node, or None; and the ids of those
            that it inlines.
        """
        inlined = self._ancestors(unique_id)
        ordered: dict[str, None] = {}  # each after what it inlines, or dbt would compile that by the way
        for waited_for in self._waited_for(unique_id):
            ordered |= dict.fromkeys([*self._ancestors(waited_for), waited_for])
        ended: dict[str, Any] = {}
        with request.holding(self._lock):
            for ephemeral in ordered | dict.fromkeys(inlined):
                cause = self._last_of(self._queue.predecessors(ephemeral), ended) if ephemeral in self._queue else None
                if cause is not None:
                    ended[ephemeral] = self._skipped(ephemeral, cause)
                    continue
                failure = self._compile(ephemeral, capture)
                if failure is not None and ephemeral in self._selected:
                    ended[ephemeral] = failure
            above = self._queue.predecessors(unique_id) if unique_id in self._queue else ()
            return self._last_of([*above, *inlined], ended), inlined

    def _waited_for(self, unique_id: str) -> list[str]:
        """Selected ephemeral models above a node with no other nodes between, those first that others wait for."""
        ordered: dict[str, None] = {}

        def visit(below: str) -> None:
            for above in sorted(self._queue.predecessors(below)):
                if above not in ordered and is_ephemeral(self._run.manifest.expect(above)):
                    visit(above)
                    ordered[above] = None

        if unique_id in self._queue and unique_id not in self._run.manifest.unit_tests:
            visit(unique_id)
        return list(ordered)

    def _last_of(self, above: Iterable[str], ended: Mapping[str, Any]) -> Any:
        """The result, of those that failed or were skipped, that dbt's queue came to last; None where there is none."""
        scores = getattr(self._run.task.job_queue, "_scores", {})
        known = [each for each in above if each in ended]
        last = max(known, key=lambda each: (scores.get(each, 0), each), default=None)
        return None if last is None else ended[last]

    def _skipped(self, unique_id: str, cause: Any) -> Any:
        """What all below an ephemeral model that was skipped is skipped for: itself, where dbt marks by skips."""
        if NodeStatus.Skipped not in self._run.task.MARK_DEPENDENT_ERRORS_STATUSES:
            return cause
        with self._run.lock:
            runner = self._runner(self._run.manifest.nodes[unique_id])
        runner.do_skip(cause=cause)
        return self._run.task.call_runner(runner)

    def any_left(self, done: set[str]) -> bool:
        """Whether a selected ephemeral model is not among `done`."""
        return any(is_ephemeral(self._run.manifest.expect(unique_id)) for unique_id in self._selected - done)

    def compile_rest(self, done: set[str], uncompiled: Set[str], request: Request) -> None:
        """Compiles selected ephemeral models that nobody used, as dbt does for manifest.json, and adds to `done`.

        Not those below one that fails, or that is among `uncompiled`.
        """
        below: set[str] = set()
        for unique_id in uncompiled & self._selected:
            if is_ephemeral(self._run.manifest.expect(unique_id)):
                below |= nx.descendants(self._queue, unique_id)
        with request.holding(self._lock):
            left = {uid for uid in self._selected - done if is_ephemeral(self._run.manifest.expect(uid))}
            for unique_id in nx.lexicographical_topological_sort(self._queue):
                if unique_id in below or unique_id not in left:
                    continue
                cause, used = self.before(unique_id, NodeCapture(), request)
                if cause is not None or self._compile(unique_id, NodeCapture()) is not None:
                    below |= nx.descendants(self._queue, unique_id)
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
            return self._failed_in_turn.get(unique_id)
        nodes = self._run.manifest.nodes
        pristine = copy.deepcopy(nodes[unique_id])
        with self._run.router.capturing(unique_id, capture):
            with self._run.lock:
                runner = self._runner(nodes[unique_id])
            result = self._run.task.call_runner(runner)
        use_own_paths(self._run, nodes[unique_id])
        changed = changed_fields(resource_fields(pristine), nodes[unique_id])
        if result.status == NodeStatus.Error:
            self.failed |= {unique_id} & self._selected
            if in_turn:
                self._changed[unique_id], self._failed_in_turn[unique_id] = changed, result
            nodes[unique_id] = pristine  # another attempt starts afresh
            return result
        self.failed.discard(unique_id)  # at an attempt before this one
        self._changed[unique_id] = changed
        self._pristine[unique_id] = pristine
        return None
