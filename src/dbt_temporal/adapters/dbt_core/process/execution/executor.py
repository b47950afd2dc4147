"""One attempt at one node, by dbt's own runner.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `get_runner`, `call_runner`, `do_skip`,
`_handle_thread_exception`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbt.task.run import MicrobatchModelRunner
from dbt_common.events.contextvars import log_contextvars, task_contextvars

from dbt_temporal.adapters.database_errors import Classification
from dbt_temporal.adapters.dbt_core.process.artifacts.records import (
    NODE_STATUSES,
    AnyResult,
    changed_fields,
    execution_result,
    make_batch_record,
    make_record,
    resource_fields,
    with_own_paths,
)
from dbt_temporal.adapters.dbt_core.process.artifacts.sql_files import COMPILED, RUN, Written
from dbt_temporal.adapters.dbt_core.process.database.classification import (
    COMPILATION,
    classify_exception,
    is_unreachable,
)
from dbt_temporal.adapters.dbt_core.process.database.request import Request
from dbt_temporal.adapters.dbt_core.process.events import NodeCapture
from dbt_temporal.adapters.dbt_core.process.execution import relations
from dbt_temporal.adapters.dbt_core.process.execution.batches import OwnThread, PartOfModel
from dbt_temporal.adapters.dbt_core.process.execution.ephemerals import Ephemerals
from dbt_temporal.adapters.dbt_core.process.execution.shared_cache import SharedCache
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun, is_ephemeral
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.results import NodeExecutionResult

_SHOWING = frozenset({"show", "compile"})
"""Commands that show something of each node at their end; others have summaries of the whole run there."""


@dataclass
class Attempt:
    unique_id: str
    turns: Sequence[str]
    """Ephemeral models that are compiled before it, whether it uses them or not."""
    request: Request
    part: BatchPart | None = None
    """Of a microbatch model, what of it is to be done."""
    again: bool = False
    """Whether the run may have tried the node before."""
    keeps_sql: bool = True
    """Whether its record has what it has written for the database."""
    capture: NodeCapture = field(init=False)

    def __post_init__(self) -> None:
        self.capture = NodeCapture(self.request.tell)


@dataclass(frozen=True)
class AttemptOutcome:
    result: NodeExecutionResult
    error: Classification | None
    record: bytes
    log: str
    committed: bool = False
    """Whether the database has confirmed what the node has written."""
    unreachable: bool = False
    """Whether it took no connection."""


class NodeExecutor:
    """Runs nodes of one run, many at once, each attempt on a copy of the node as it was parsed."""

    def __init__(self, run: HostRun) -> None:
        self._run = run
        self.ephemerals = Ephemerals(run)
        self._selected = run.selected()
        self._built: set[str] = set()
        self._attempted: set[str] = set()
        self.sole_host = True
        self.shared_cache = SharedCache(run.adapter)
        run.task._handle_thread_exception = _keeping_exception(run)

    def built_elsewhere(self, unique_ids: Iterable[str]) -> None:
        """Other hosts have built these, and the relation cache knows of it."""
        self._built.update(unique_ids)

    def catch_up(self) -> None:
        """Takes over what other hosts have changed. Where that fails, the database is asked for what others built."""
        if not self.shared_cache.catch_up():
            self.sole_host = False
            self._built.clear()

    def execute(self, attempt: Attempt) -> AttemptOutcome:
        """Runs the node; a failure is an outcome, not an exception."""
        run = self._run
        unique_id = attempt.unique_id
        with (
            run.router.capturing(unique_id, attempt.capture),
            run.kept.doing(unique_id),
            task_contextvars(project_root=run.project.config.project_root),
        ):
            self._refresh_relations(attempt)
            self.ephemerals.take_turns(attempt.turns, attempt.request, attempt.capture.said)
            failed_ephemeral, used = self.ephemerals.before(unique_id, attempt.capture, attempt.request)
            node = copy.deepcopy(run.manifest.expect(unique_id))
            before = resource_fields(node)
            runner = self._runner(node, failed_ephemeral)
            part = self._part(runner, attempt)
            with Written(run) as written:
                result = with_own_paths(run, self._call(runner))
            if part is not None:
                result.execution_time = part.seconds(result.execution_time)
            output = self._shown(result, attempt)
        if NODE_STATUSES.get(str(result.status)) == "success":
            self._built.add(unique_id)
        if not getattr(result.node, "compiled", False):
            # dbt looks at what a node inlines when its own text is rendered, which exposures do not have; those with
            # turns of their own had them.
            used = [ephemeral for ephemeral in used if ephemeral in self._selected]
        nodes = {ephemeral: self.ephemerals.changed_fields(ephemeral) for ephemeral in [*attempt.turns, *used]}
        nodes[unique_id] = changed_fields(before, result.node)
        error = _classify(result, attempt.capture.exception, failed_ephemeral is not None)
        joins = attempt.part is not None and attempt.part.stage == "end"
        if error is not None and (joins or (attempt.capture.committed and part is None)):
            # Another attempt would say the same, or do again what stands in the database; a batch replaces that.
            error = error[0], False
        said = [run.own_paths(line) for line in attempt.capture.said.lines()]
        small = execution_result(result, said, with_compiled_code=run.command == "compile", output=output)
        if part is not None:
            small = small.model_copy(update=part.facts(attempt.capture.exception))
        behind = None if failed_ephemeral is None else failed_ephemeral.node.unique_id
        if self.ephemerals.failed:
            small = small.model_copy(update={"failed_ephemerals": sorted(self.ephemerals.failed)})
        is_batch = attempt.part is not None and attempt.part.stage == "batch"
        in_manifest = unique_id in run.manifest.nodes and not is_batch
        sql = written.texts((RUN,) if in_manifest else (COMPILED, RUN)) if attempt.keeps_sql else {}
        record = make_batch_record(sql) if is_batch else make_record(result, nodes, behind, sql)
        unreachable = is_unreachable(attempt.capture.exception, error)
        return AttemptOutcome(small, error, record, attempt.capture.log, attempt.capture.committed, unreachable)

    def _shown(self, result: AnyResult, attempt: Attempt) -> str | None:
        """What dbt shows of the node at the end of `show` and `compile`, which it says by an event."""
        if self._run.command not in _SHOWING or str(result.status) != "success":
            return None
        printed_before = len(attempt.capture.printed)
        with log_contextvars(node_info=result.node.node_info):
            self._run.task.task_end_messages([result])
        return attempt.capture.printed[printed_before:].strip("\n") or None

    def _part(self, runner: Any, attempt: Attempt) -> PartOfModel | None:
        if not isinstance(runner, MicrobatchModelRunner) or runner.skip:
            return None
        return PartOfModel(self._run, runner, attempt.part, OwnThread(attempt.request.cancelled))

    def _call(self, runner: Any) -> Any:
        try:
            return self._run.task.call_runner(runner)
        except SystemExit as error:
            # dbt lets it through; a Python model that ends its interpreter has failed, and its host goes on.
            return self._run.task._handle_thread_exception(runner, error)

    def _runner(self, node: Any, failed_ephemeral: Any) -> Any:
        with self._run.lock:  # get_runner counts the nodes of the run
            runner = self._run.task.get_runner(node)
        if failed_ephemeral is not None:
            runner.do_skip(cause=failed_ephemeral)
        return runner

    def _refresh_relations(self, attempt: Attempt) -> None:
        """Looks again at relations that others may have built since this host filled its cache."""
        run, unique_id = self._run, attempt.unique_id
        # An earlier attempt, and the batches before this one, may have been another host's.
        goes_on = attempt.again or (attempt.part is not None and attempt.part.stage != "begin")
        parents = [
            above
            for above in self._relational_parents(unique_id)
            if above in self._selected and above not in self._built
        ]
        if parents:
            self.sole_host = False  # somebody else built them, so somebody else may have tried this node too
        again = goes_on or unique_id in self._attempted or not self.sole_host
        self._attempted.add(unique_id)
        nodes = [run.manifest.expect(node) for node in [*parents, *([unique_id] if again else [])]]
        with self.shared_cache.unwatched():
            relations.refresh(run.adapter, run.project.config, [node for node in nodes if _has_relation(node)])

    def _relational_parents(self, unique_id: str) -> list[str]:
        above_it: dict[str, None] = {}
        open_nodes = [unique_id]
        while open_nodes:
            for above in self._run.manifest.expect(open_nodes.pop()).depends_on_nodes:
                node = self._run.manifest.nodes.get(above)
                if node is None or above in above_it:
                    continue
                above_it[above] = None
                if is_ephemeral(node):
                    open_nodes.append(above)
        return [above for above in above_it if _has_relation(self._run.manifest.nodes[above])]


def _has_relation(node: Any) -> bool:
    return bool(getattr(node, "is_relational", False)) and not is_ephemeral(node)


def _keeping_exception(run: HostRun) -> Callable[[Any, Any], Any]:
    """dbt's handler of exceptions around a runner, which keeps the exception beside its text."""
    handle = run.task._handle_thread_exception

    def handler(runner: Any, error: Any) -> Any:
        run.router.keep_exception(runner.node.unique_id, error)
        return handle(runner, error)

    return handler


def _classify(result: AnyResult, exception: BaseException | None, ephemeral_failed: bool) -> Classification | None:
    status = str(result.status)
    if ephemeral_failed:
        return COMPILATION
    if status == "fail":
        unit = str(result.node.resource_type) == "unit_test"
        return (ErrorType.UNIT_TEST_FAILURE if unit else ErrorType.TEST_FAILURE), False
    if status == "error" and exception is None and str(result.node.resource_type) == "source":
        return ErrorType.STALE_SOURCE, False
    if NODE_STATUSES.get(status) == "error":
        return classify_exception(exception, result.message)
    return None
