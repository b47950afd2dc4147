"""A run host: a fork of a project parent that executes the nodes of one run for the worker at its socket's end."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from dbt_common.context import get_invocation_context

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process import bootstrap, forking
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
from dbt_temporal.adapters.dbt_core.process.database.classification import classify_exception
from dbt_temporal.adapters.dbt_core.process.database.connections import end_session
from dbt_temporal.adapters.dbt_core.process.database.duckdb_file import gate_for, is_in_memory
from dbt_temporal.adapters.dbt_core.process.database.request import CANCEL_AGAIN_SECS, Facts, Request, watch_connections
from dbt_temporal.adapters.dbt_core.process.execution import hooks
from dbt_temporal.adapters.dbt_core.process.execution.executor import Attempt, NodeExecutor
from dbt_temporal.adapters.dbt_core.process.kept.graph import ON_RUN_START
from dbt_temporal.adapters.dbt_core.process.parsing.loading import LoadedParent
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.adapters.dbt_core.process.run.plan import make_plan
from dbt_temporal.adapters.dbt_core.process.run.setup import open_run
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.run.scheduler import FAIL_FAST_REASON

MAX_THREADS = 256
"""More nodes than this never run at once in one host; the run itself starts no more than the profile's `threads`."""

_WITHOUT_CATALOG = frozenset({"list", "source-freshness"})

_thread_numbers = count(1)


def serve_host(sock: socket.socket, parent: LoadedParent) -> None:
    """Serves until the worker closes the socket."""
    message, _ = wire.receive(sock)
    if message is None:
        return
    try:
        invocation = DbtInvocation.model_validate(message["invocation"])
        run = open_run(parent, invocation, Path(message["run_dir"]), message["local_references"])
    except Exception as error:
        sock.sendall(wire.encode({"id": message["id"], "error": forking.error_to_wire(error)}))
        return
    host = RunHost(sock, run)
    sock.sendall(wire.encode({"id": message["id"], "ok": {"pid": os.getpid()}}))
    host.serve()


class RunHost:
    """Answers the worker's requests, each on a thread of its own."""

    def __init__(self, sock: socket.socket, run: HostRun) -> None:
        self._sock = sock
        self._run = run
        self._gate = gate_for(run.adapter)
        watch_connections(run.adapter)
        name_files_at_own_paths(run)
        self._context = get_invocation_context()
        self._executor = NodeExecutor(run)
        self._requests: dict[int, Request] = {}
        self._send_lock = threading.Lock()
        self._setup_lock = threading.Lock()
        """Held by what dbt does once for a run: it changes the task and the adapter."""
        self._prepared = False
        self._hook_answers: list[wire.Message] | None = None
        self._pool = ThreadPoolExecutor(MAX_THREADS, initializer=_name_thread)
        self._operations: dict[str, Callable[[wire.Message, Request], Any]] = {
            "plan": self._plan,
            "before_run": self._before_run,
            "execute": self._execute,
            "after_run": self._after_run,
            "artifacts": self._artifacts,
            "end_sessions": self._end_sessions,
            "take_over": self._take_over,
        }

    def serve(self) -> None:
        """Reads requests until the worker has gone, or wants no more; then ends what still runs, and the process."""
        while True:
            message, _ = wire.receive(self._sock)
            if message is None:
                self._wind_up()
                return
            if message["op"] == "cancel":
                self._cancel(message["target"])
            else:
                self._requests[message["id"]] = self._new_request(message["id"])
                self._pool.submit(self._answer, message)

    def _answer(self, message: wire.Message) -> None:
        answer: wire.Message = {"id": message["id"]}
        request = self._requests[message["id"]]
        request.begin()
        try:
            request.refuse_if_cancelled()  # it may have waited for a thread
            answer["ok"] = self._operations[message["op"]](message, request)
        except BaseException as error:  # whatever ends a request, the worker waits for its answer
            answer["error"] = forking.error_to_wire(error)
        finally:
            request.ended.set()
            del self._requests[message["id"]]
        self._send(answer)

    def _wind_up(self) -> None:
        """Cancels every statement, again and again until all requests have ended: they may be between statements."""
        deadline = time.monotonic() + forking.WIND_UP_SECS
        while self._requests and time.monotonic() < deadline:
            for request in list(self._requests.values()):
                request.cancelled.set()
                request.cancel_statements()
            time.sleep(CANCEL_AGAIN_SECS)

    def _send(self, message: wire.Message) -> None:
        data = wire.encode(message)
        with self._send_lock:
            self._sock.sendall(data)

    def _new_request(self, request_id: int) -> Request:
        def tell(sessions: list[Facts]) -> None:
            self._send({"id": request_id, "sessions": sessions})

        return Request(self._run.adapter, self._context, tell)

    def _cancel(self, target: int) -> None:
        request = self._requests.get(target)
        if request is not None and not request.cancelled.is_set():
            threading.Thread(target=self._keep_cancelling, args=(request,), daemon=True).start()

    def _keep_cancelling(self, request: Request) -> None:
        bootstrap.share_invocation_context(self._context)
        request.cancel()

    def _plan(self, _message: wire.Message, _request: Request) -> wire.Message:
        flags = self._run.flags
        return {
            "plan": make_plan(self._run).model_dump(mode="json"),
            "fail_fast": bool(flags.FAIL_FAST),
            "threads": 1 if flags.SINGLE_THREADED else self._run.project.config.threads,
            "ends_on_error": self._run.task.raise_on_first_error(),
            "nothing_to_do": not self._run.selected(),
        }

    def _before_run(self, _message: wire.Message, request: Request) -> wire.Message:
        answers = self._run_start_hooks(request)
        config = self._run.project.config
        return {
            "hooks": answers,
            "graph": self._run.kept.started(),
            "keeps_graph": self._run.kept.why_kept(self._run.selected()),
            "nodes_may_run": not self._skips_nodes(any(answer["error"] for answer in answers)),
            "in_memory": is_in_memory(self._run.adapter),
            "profile": config.profile_name,
            "target": config.target_name,
        }

    def _skips_nodes(self, hook_failed: bool) -> bool:
        """dbt's behavior flag (default true in 1.12): a failed on-run-start hook skips all nodes."""
        return hook_failed and bool(getattr(self._run.flags, "skip_nodes_if_on_run_start_fails", False))

    def _run_start_hooks(self, request: Request) -> list[wire.Message]:
        with self._gate.using(request), request.holding(self._setup_lock), _as_main_thread():
            if self._hook_answers is None:
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

    def _execute(self, message: wire.Message, request: Request) -> wire.Message:
        on_main_thread = _as_main_thread() if self._run.flags.SINGLE_THREADED else contextlib.nullcontext()
        with self._gate.using(request), on_main_thread:
            self._prepare(request)
            outcome = self._executor.execute(Attempt(message["unique_id"], request))
        with_code = self._run.command == "compile"
        return {
            "result": execution_result(outcome.result, with_compiled_code=with_code).model_dump(mode="json"),
            "error": outcome.error,
            "graph": self._run.kept.ended(message["unique_id"]),
            "record": outcome.record.decode(),
            "log": outcome.log,
        }

    def _after_run(self, message: wire.Message, request: Request) -> list[wire.Message]:
        with self._gate.using(request):
            self._prepare(request)
            with request.holding(self._setup_lock), _as_main_thread():
                completed = artifacts.read_completed(message["results"])
                if artifacts.ends_with_fail_fast(self._run, completed):
                    completed = artifacts.as_dbt_skips_rest(self._run, completed, FAIL_FAST_REASON)
                results = artifacts.as_run_results(self._run, completed)
                return [self._hook_answer(outcome) for outcome in hooks.after_run(self._run, results)]

    def _artifacts(self, message: wire.Message, request: Request) -> dict[str, str]:
        completed = artifacts.read_completed(message["results"])
        statuses = {item.result.unique_id: item.result.dbt_status for item in completed}
        ends_early = artifacts.ends_with_fail_fast(self._run, completed)
        skipped = skipped_ephemerals(self._run, statuses, {"skipped"} if ends_early else frozenset())
        if self._skips_nodes(on_run_start_failed(statuses)):
            skipped = frozenset()  # by no parent of theirs
            completed = artifacts.as_dbt_skips_rest(self._run, completed, None)
        elif not artifacts.ends_with_error(self._run, completed):
            done = {node for item in completed if item.record for node in item.record["nodes"]} | skipped
            if message["with_database"]:
                self._compile_rest(done, request)
        completed = artifacts.with_skip_messages(self._run, completed, skipped)
        if ends_early:
            completed = artifacts.as_dbt_skips_rest(self._run, completed, FAIL_FAST_REASON)
        # Of this request alone, as another one may still read the files of an earlier one; and beside the folder of
        # this host, which goes with it.
        folder = Path(tempfile.mkdtemp(prefix="artifacts-", dir=self._run.run_dir.parent))
        with request.holding(self._setup_lock):
            paths = artifacts.make_artifacts(self._run, completed, message["elapsed_time"], folder)
            if not self._run.flags.WRITE_JSON:
                paths = {}
        if message["with_catalog"] and self._run.command not in _WITHOUT_CATALOG:
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

    def _compile_rest(self, done: set[str], request: Request) -> None:
        """Compiles the ephemeral models that no node of the run used, as dbt does, for manifest.json."""
        if not self._executor.ephemerals.any_left(done):
            return
        with self._gate.using(request):
            self._prepare(request)
            self._executor.ephemerals.compile_rest(done, request)

    def _end_sessions(self, message: wire.Message, _request: Request) -> None:
        for session in message["sessions"]:
            end_session(self._run.adapter, session)

    def _take_over(self, message: wire.Message, request: Request) -> wire.Message | None:
        with self._gate.using(request):
            self._prepare(request)
            with request.holding(self._setup_lock):
                return self._run.kept.take_over(message)

    def _hook_answer(self, outcome: hooks.HookOutcome) -> wire.Message:
        node = with_own_paths(self._run, outcome.result).node
        result = execution_result(outcome.result)
        failed = result.status == "error"
        return {
            "result": result.model_dump(mode="json"),
            "error": classify_exception(outcome.exception, result.message) if failed else None,
            "record": make_record(outcome.result, {node.unique_id: resource_fields(node)}).decode(),
            "log": outcome.log,
        }


@contextlib.contextmanager
def _as_main_thread() -> Iterator[None]:
    """Within the block this thread has the name of the one that runs hooks in dbt, and all nodes if it has no other."""
    thread = threading.current_thread()
    name, thread.name = thread.name, "MainThread"
    try:
        yield
    finally:
        thread.name = name


def _name_thread() -> None:
    # dbt's own names; one of them must not be "main", by which dbt knows hooks.
    threading.current_thread().name = f"Thread-{next(_thread_numbers)} (worker)"
