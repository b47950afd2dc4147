"""A run host: a fork of a project parent that executes the nodes of one run for the worker at its socket's end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

from dbt_common.context import get_invocation_context

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process import bootstrap, forking
from dbt_temporal.adapters.dbt_core.process.database.request import CANCEL_AGAIN_SECS, Request, watch_connections
from dbt_temporal.adapters.dbt_core.process.database.sessions import SessionOwner
from dbt_temporal.adapters.dbt_core.process.host_operations import HostOperations
from dbt_temporal.adapters.dbt_core.process.parsing.loading import LoadedParent
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.adapters.dbt_core.process.run.setup import open_run
from dbt_temporal.adapters.dbt_core.process.telling import Teller
from dbt_temporal.domain.run.invocation import DbtInvocation

MAX_THREADS = 256
"""More nodes than this never run at once in one host; the run itself starts no more than the profile's `threads`."""

LOOK_EVERY_SECS = 0.25
"""How often a host looks for how long its worker has been silent."""

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
        wire.answer(sock, {"id": message["id"], "error": forking.error_to_wire(error)})
        return
    host = RunHost(sock, run)
    wire.answer(sock, {"id": message["id"], "ok": {"pid": os.getpid()}})
    host.serve()


class RunHost:
    """Answers the worker's requests, each on a thread of its own."""

    def __init__(self, sock: socket.socket, run: HostRun) -> None:
        self._sock = sock
        self._run = run
        watch_connections(run.adapter)
        self._context = get_invocation_context()
        self._host = HostOperations(run)
        self._operations = self._host.by_name()
        self._requests: dict[int, Request] = {}
        self._send_lock = threading.Lock()
        self._teller = Teller(self._send)
        self._pool = ThreadPoolExecutor(MAX_THREADS, initializer=_name_thread)
        self._heard_at = time.monotonic()
        self._watch: threading.Thread | None = None

    def serve(self) -> None:
        """Reads requests until the worker has gone, or wants no more; then ends what still runs, and the process."""
        while True:
            message, _ = wire.receive(self._sock)
            if message is None:
                self._wind_up()
                return
            self._heard_at = time.monotonic()
            if message["op"] == "here":
                continue
            if message["op"] == "cancel":
                self._cancel(message["target"])
            elif message["op"] == "hear":
                self._host.hear(message)
            else:
                self._requests[message["id"]] = self._new_request(message)
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
            self._teller.forget(message["id"])
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

    def _watch_worker(self) -> None:
        """Ends what runs, and this process, when the worker is silent for longer than a request may go on without it.

        Another attempt begins then, on whichever worker: this one must not write beside it, nor after it.
        """
        while True:
            time.sleep(LOOK_EVERY_SECS)
            silence = time.monotonic() - self._heard_at
            if any(silence > request.silence_secs for request in list(self._requests.values())):
                break
        print(f"the worker is silent for {silence:.1f} seconds: what it has asked for is ended", flush=True)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # the loop takes it for the worker's end

    def _new_request(self, message: wire.Message) -> Request:
        owner, silence_secs = message.get("owner"), message.get("silence_secs")
        request = Request(self._run.adapter, self._context, owner and SessionOwner(**owner))
        if owner is not None:
            request.tell = partial(self._teller.note, message["id"])
        if silence_secs is not None:
            request.silence_secs = silence_secs
            if self._watch is None:
                self._watch = threading.Thread(target=self._watch_worker, daemon=True)
                self._watch.start()
        return request

    def _cancel(self, target: int) -> None:
        request = self._requests.get(target)
        if request is not None and not request.cancelled.is_set():
            threading.Thread(target=self._keep_cancelling, args=(request,), daemon=True).start()

    def _keep_cancelling(self, request: Request) -> None:
        bootstrap.share_invocation_context(self._context)
        request.cancel()


def _name_thread() -> None:
    # dbt's own names; one of them must not be "main", by which dbt knows hooks.
    threading.current_thread().name = f"Thread-{next(_thread_numbers)} (worker)"
