"""What a run host does for the worker: a method for each operation of an engine's run."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process.artifacts import documents as artifacts
from dbt_temporal.adapters.dbt_core.process.artifacts.catalog import make_catalog
from dbt_temporal.adapters.dbt_core.process.artifacts.records import (
    execution_result,
    make_record,
    name_files_at_own_paths,
    resource_fields,
    with_own_paths,
)
from dbt_temporal.adapters.dbt_core.process.artifacts.skipped import on_run_start_failed, skipped_ephemerals
from dbt_temporal.adapters.dbt_core.process.artifacts.sql_files import write_sql_files
from dbt_temporal.adapters.dbt_core.process.database.classification import classify_exception
from dbt_temporal.adapters.dbt_core.process.database.duckdb_file import WarehouseGate, gate_for, is_in_memory
from dbt_temporal.adapters.dbt_core.process.database.request import Request
from dbt_temporal.adapters.dbt_core.process.database.sessions import SessionOwner, end_sessions
from dbt_temporal.adapters.dbt_core.process.execution import hooks
from dbt_temporal.adapters.dbt_core.process.execution.executor import Attempt, NodeExecutor
from dbt_temporal.adapters.dbt_core.process.execution.operations import execute_operation
from dbt_temporal.adapters.dbt_core.process.execution.outcomes import keep_outcome
from dbt_temporal.adapters.dbt_core.process.kept.graph import ON_RUN_START
from dbt_temporal.adapters.dbt_core.process.run.graph import run_graph
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.adapters.dbt_core.process.run.lease import lease_of
from dbt_temporal.adapters.dbt_core.process.run.lineage import run_lineage
from dbt_temporal.adapters.dbt_core.process.run.near_names import with_near_names
from dbt_temporal.adapters.dbt_core.process.run.operations import operation_node
from dbt_temporal.adapters.dbt_core.process.run.plan import make_plan
from dbt_temporal.adapters.dbt_core.process.run.repeatable import is_repeatable
from dbt_temporal.adapters.dbt_core.process.run.tasks import TASKS
from dbt_temporal.application.attempt_facts import EXECUTING, PHASE, PREPARING
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.run.turns import FAIL_FAST_REASON

Operation = Callable[[wire.Message, Request], Any]


class HostOperations:
    """The operations of one run; each call is on a thread of its own."""

    def __init__(self, run: HostRun) -> None:
        self._run = run
        # The gate would say in its own words that the database cannot be opened.
        self._gate = WarehouseGate() if run.command == "debug" else gate_for(run.adapter)
        name_files_at_own_paths(run)
        self._executor = NodeExecutor(run)
        self._setup_lock = threading.Lock()
        """Held by what dbt does once for a run: it changes the task and the adapter."""
        self._prepared = False
        self._hook_answers: list[wire.Message] | None = None

    def by_name(self) -> dict[str, Operation]:
        """What answers a request, by the request's `op`."""
        return {
            "plan": self._plan,
            "lease": self._lease,
            "before_run": self._before_run,
            "join": self._join,
            "execute": self._execute,
            "after_run": self._after_run,
            "artifacts": self._artifacts,
            "graph": lambda message, _request: run_graph(self._run, message["with_code"]),
            "lineage": lambda _message, _request: run_lineage(self._run),
            "failed_ephemerals": lambda _message, _request: sorted(self._executor.ephemerals.failed),
            "end_sessions": self._end_sessions,
            "take_over": self._take_over,
        }

    def _plan(self, _message: wire.Message, _request: Request) -> wire.Message:
        flags = self._run.flags
        plan, ephemerals = make_plan(self._run)
        router = self._run.router
        said = with_near_names([*router.said_of_files.lines(), *router.said.lines()], self._run.manifest)
        return {
            "plan": plan.model_dump(mode="json"),
            "ephemerals": {unique_id: turn.model_dump() for unique_id, turn in ephemerals.items()},
            "fail_fast": bool(flags.FAIL_FAST),
            "threads": 1 if flags.SINGLE_THREADED else self._run.project.config.threads,
            "ends_on_error": self._run.task.raise_on_first_error(),
            "nothing_to_do": not self._run.selected(),
            "unrepeatable": [unique_id for unique_id in plan.nodes if not is_repeatable(self._run, unique_id)],
            "messages": [self._run.own_paths(line) for line in said],
        }

    def _lease(self, message: wire.Message, _request: Request) -> wire.Message | None:
        lease = lease_of(self._run, message["per"], message["nodes"])
        return None if lease is None else lease.model_dump()

    def _before_run(self, message: wire.Message, request: Request) -> wire.Message:
        said = self._run.router.said
        known = len(said.lines())
        answers = self._run_start_hooks(request)
        config = self._run.project.config
        answer = {
            "messages": [self._run.own_paths(line) for line in said.lines()[known:]],
            "hooks": answers,
            "graph": self._run.kept.started(),
            "keeps_graph": self._run.kept.why_kept(self._run.selected()),
            "nodes_may_run": not self._skips_nodes(any(answer["error"] for answer in answers)),
            "host": message["holder"]["process"],
            "held_by": message["holder"] if is_in_memory(self._run.adapter) else None,
            "profile": config.profile_name,
            "target": config.target_name,
        }
        return _kept_of_hooks(answer, message, request)

    def _skips_nodes(self, hook_failed: bool) -> bool:
        """dbt's behavior flag (default true in 1.12): a failed on-run-start hook skips all nodes."""
        return hook_failed and bool(getattr(self._run.flags, "skip_nodes_if_on_run_start_fails", False))

    def _run_start_hooks(self, request: Request) -> list[wire.Message]:
        with self._gate.using(request), request.holding(self._setup_lock), _as_main_thread():
            if self._hook_answers is None:
                request.tell({PHASE: PREPARING})
                with self._run.kept.doing(ON_RUN_START):
                    outcomes = hooks.before_run(self._run)
                self._prepared = True
                answers = [self._hook_answer(outcome) for outcome in outcomes]
                if any(answer["error"] for answer in answers):
                    return answers  # a further attempt runs the hooks again
                self._hook_answers = answers
            return self._hook_answers

    def _prepare(self, request: Request) -> None:
        with request.holding(self._setup_lock):
            if not self._prepared:
                hooks.prepare(self._run)
                self._executor.sole_host = False
                self._prepared = True
        self._executor.catch_up()

    def _join(self, message: wire.Message, request: Request) -> None:
        """Gets ready beside another host of the run, which has built nodes; what it builds from now on is heard of."""
        with self._gate.using(request):
            self._prepare(request)
        self._executor.sole_host = message["others_are_here"]

    def hear(self, message: wire.Message) -> None:
        """Hears what other hosts of the run have done."""
        self._executor.shared_cache.hear(message["relations"])
        self._executor.built_elsewhere(message["built"])

    def _execute(self, message: wire.Message, request: Request) -> wire.Message:
        operation = operation_node(self._run.task, self._run.project.name, message["unique_id"])
        alone = operation is not None or self._run.flags.SINGLE_THREADED
        with self._gate.using(request), _as_main_thread() if alone else contextlib.nullcontext():
            request.tell({PHASE: PREPARING})
            self._prepare(request)
            if message["shares"]:
                self._executor.shared_cache.watch()
            if operation is not None:
                request.tell({PHASE: EXECUTING})
                outcome = execute_operation(self._run, operation)
            else:
                part = BatchPart.model_validate(message["part"]) if message["part"] else None
                attempt = Attempt(
                    message["unique_id"],
                    message["ephemerals"],
                    request,
                    part,
                    message["again"],
                    keeps_sql=message["keeps_sql"] and self._run.flags.WRITE_JSON,
                )
                outcome = self._executor.execute(attempt)
        answer = {
            "result": outcome.result.model_dump(mode="json"),
            "error": outcome.error,
            "unreachable": outcome.unreachable,
            "graph": self._run.kept.ended(message["unique_id"]),
            "record": outcome.record.decode(),
            "log": outcome.log,
        }
        # What ended because it was cancelled says nothing of the node, unless its work stands in the database.
        if outcome.error is None or outcome.committed or not request.cancelled.is_set():
            _keep_outcome(Path(message["outcome"]), answer)
        # For hosts that are there now: nobody needs it who finds the outcome later.
        return {**answer, "relations": self._executor.shared_cache.changes()}

    def _after_run(self, message: wire.Message, request: Request) -> wire.Message:
        with self._gate.using(request):
            request.tell({PHASE: PREPARING})
            self._prepare(request)
            with request.holding(self._setup_lock), _as_main_thread():
                completed = artifacts.read_completed(message["results"])
                skipped = skipped_ephemerals(self._run, artifacts.statuses_of(completed))
                completed = artifacts.with_skip_messages(
                    self._run, completed, skipped, self._executor.ephemerals.failed
                )
                if artifacts.ends_with_fail_fast(self._run, completed):
                    completed = artifacts.as_dbt_skips_rest(self._run, completed, FAIL_FAST_REASON)
                results = artifacts.as_run_results(self._run, completed)
                request.tell({PHASE: EXECUTING})
                answers = [self._hook_answer(outcome) for outcome in hooks.after_run(self._run, results)]
        return _kept_of_hooks({"hooks": answers}, message, request)

    def _artifacts(self, message: wire.Message, request: Request) -> dict[str, str]:
        completed = artifacts.read_completed(message["results"])
        statuses = artifacts.statuses_of(completed)
        ends_early = artifacts.ends_with_fail_fast(self._run, completed)
        skipped = skipped_ephemerals(self._run, statuses, {"skipped"} if ends_early else frozenset())
        touched = [fields for item in completed if item.record for fields in item.record["nodes"].items()]
        done = {unique_id for unique_id, _ in touched} | skipped
        uncompiled = done - {unique_id for unique_id, fields in touched if fields.get("compiled")}
        ends_with_error = artifacts.ends_with_error(self._run, completed)
        if self._skips_nodes(on_run_start_failed(statuses)):
            skipped = frozenset()  # by no parent of theirs
            completed = artifacts.as_dbt_skips_rest(self._run, completed, None)
        elif not ends_with_error and message["with_database"]:
            self._compile_rest(done, uncompiled, request)
        if ends_with_error:  # dbt has written the manifest before
            self._executor.ephemerals.forget_all()
        else:
            self._executor.ephemerals.forget_unused(done)
        completed = artifacts.with_skip_messages(self._run, completed, skipped, self._executor.ephemerals.failed)
        if ends_early:
            completed = artifacts.as_dbt_skips_rest(self._run, completed, FAIL_FAST_REASON)
        # Of this request alone, as another one may still read the files of an earlier one; and beside the folder of
        # this host, which goes with it.
        folder = Path(tempfile.mkdtemp(prefix="artifacts-", dir=self._run.run_dir.parent))
        with request.holding(self._setup_lock):
            paths = artifacts.make_artifacts(self._run, completed, message["elapsed_time"], folder)
            if not self._run.flags.WRITE_JSON:
                paths = {}
            elif message["with_sql"]:
                records = [item.record for item in completed if item.record]
                batches = [batch for item in completed for batch in item.batches]
                paths |= write_sql_files(self._run, records, batches, folder / "sql")
        if message["with_catalog"] and TASKS[self._run.command].catalog:
            paths.update(self._catalog(request, folder / "catalog.json"))
        return paths

    def _catalog(self, request: Request, path: Path) -> dict[str, str]:
        """catalog.json; a warehouse that does not give it costs the run nothing else."""
        try:
            with self._gate.using(request):
                self._prepare(request)
                make_catalog(self._run, path)
        except Exception as error:
            print(f"catalog.json of run {self._run.invocation.invocation_id} is left out: {error}", flush=True)
            return {}
        return {path.name: str(path)}

    def _compile_rest(self, done: set[str], uncompiled: set[str], request: Request) -> None:
        """Compiles the ephemeral models that no node of the run used, as dbt does, for manifest.json."""
        if not self._executor.ephemerals.any_left(done):
            return
        with self._gate.using(request):
            self._prepare(request)
            self._executor.ephemerals.compile_rest(done, uncompiled, request)

    def _end_sessions(self, message: wire.Message, _request: Request) -> None:
        adapter = self._run.adapter
        with adapter.connection_named("end_sessions"):
            end_sessions(adapter, adapter.connections.get_thread_connection(), SessionOwner(**message["owner"]).mark)

    def _take_over(self, message: wire.Message, request: Request) -> wire.Message | None:
        with self._gate.using(request):
            self._prepare(request)
            with request.holding(self._setup_lock):
                return self._run.kept.take_over(message)

    def _hook_answer(self, outcome: hooks.HookOutcome) -> wire.Message:
        node = with_own_paths(self._run, outcome.result).node
        result = execution_result(outcome.result, [self._run.own_paths(line) for line in outcome.messages])
        failed = result.status == "error"
        return {
            "result": result.model_dump(mode="json"),
            "error": classify_exception(outcome.exception, result.message) if failed else None,
            "record": make_record(outcome.result, {node.unique_id: resource_fields(node)}).decode(),
            "log": outcome.log,
        }


def _kept_of_hooks(answer: wire.Message, message: wire.Message, request: Request) -> wire.Message:
    """The answer, which is on disk now. What ended because it was cancelled says nothing of the hooks."""
    if not request.cancelled.is_set() or not any(hook["error"] for hook in answer["hooks"]):
        _keep_outcome(Path(message["outcome"]), answer)
    return answer


def _keep_outcome(place: Path, answer: wire.Message) -> None:
    try:
        keep_outcome(place, answer)
    except OSError as error:
        print(f"how a step ended cannot be written down, should the worker be lost: {error}", flush=True)


@contextlib.contextmanager
def _as_main_thread() -> Iterator[None]:
    """Within the block this thread has the name of the one that runs hooks in dbt, and all nodes if it has no other."""
    thread = threading.current_thread()
    name, thread.name = thread.name, "MainThread"
    try:
        yield
    finally:
        thread.name = name
