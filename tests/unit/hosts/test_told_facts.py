"""What a host tells of requests that are under way: gathered, sent aside, and heard by whoever has asked."""

from __future__ import annotations

import queue
import socket
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.channel import Channel
from dbt_temporal.adapters.dbt_core.process.database.request import Request
from dbt_temporal.adapters.dbt_core.process.database.sessions import session_id
from dbt_temporal.adapters.dbt_core.process.events import NodeCapture
from dbt_temporal.adapters.dbt_core.process.telling import Teller

PATIENCE_SECS = 30.0


def event(name: str) -> Any:
    return SimpleNamespace(info=SimpleNamespace(name=name))


def test_facts_are_gathered_and_the_latest_of_those_under_way_are_sent_together() -> None:
    sent: queue.Queue[wire.Message] = queue.Queue()
    gathered = threading.Event()
    teller = Teller(sent.put, pause=lambda: gathered.wait(PATIENCE_SECS))
    teller.note(1, {"phase": "executing"})
    teller.note(2, {"phase": "compiling", "session": 7})
    teller.note(2, {"phase": "executing"})
    teller.forget(1)
    gathered.set()
    assert sent.get(timeout=PATIENCE_SECS) == {"id": 2, "told": {"phase": "executing", "session": 7}}
    teller.note(3, {"phase": "preparing"})
    assert sent.get(timeout=PATIENCE_SECS) == {"id": 3, "told": {"phase": "preparing"}}


async def test_whoever_has_made_a_request_hears_of_it_until_it_is_answered() -> None:
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    heard: list[wire.Message] = []
    request_id, answer = channel.start("execute", told=heard.append)
    other_id, other = channel.start("execute")
    wire.answer(theirs, {"id": request_id, "told": {"phase": "executing"}})
    wire.answer(theirs, {"id": other_id, "told": {"phase": "compiling"}})
    wire.answer(theirs, {"id": request_id, "ok": None})
    await answer
    wire.answer(theirs, {"id": request_id, "told": {"phase": "late"}})
    wire.answer(theirs, {"id": other_id, "ok": None})
    await other
    assert heard == [{"phase": "executing"}]
    await channel.close()
    theirs.close()


def test_a_node_is_at_what_dbt_s_events_say() -> None:
    told: list[Any] = []
    capture = NodeCapture(told.append)
    for name in ("NodeStart", "NodeCompiling", "NodeExecuting", "NodeFinished"):
        capture.take(event(name))
    assert told == [{"phase": "compiling"}, {"phase": "executing"}]


def test_a_request_that_waits_for_others_says_for_what() -> None:
    lock, told = threading.Lock(), queue.Queue[Any]()
    request = Request(cast(Any, None), SimpleNamespace())
    request.tell = told.put
    entered = threading.Event()

    def work() -> None:
        with request.holding(lock, waiting="waiting for the database file"):
            entered.set()

    lock.acquire()
    thread = threading.Thread(target=work)
    thread.start()
    assert told.get(timeout=PATIENCE_SECS) == {"phase": "waiting for the database file"}
    assert not entered.is_set()
    lock.release()
    thread.join(PATIENCE_SECS)
    assert entered.is_set()


@pytest.mark.parametrize(("kind", "session"), [("postgres", 4711), ("duckdb", None)])
def test_a_session_is_what_the_driver_calls_it(kind: str, session: int | None) -> None:
    adapter, handle = SimpleNamespace(type=lambda: kind), SimpleNamespace(info=SimpleNamespace(backend_pid=4711))
    assert session_id(cast(Any, adapter), handle) == session
