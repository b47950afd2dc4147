"""Builders of what dbt v2 tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from dbt_temporal.adapters.dbt_v2.processes.course import RunCourse
from dbt_temporal.adapters.dbt_v2.processes.events import read_event
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.verdicts import Answer
from dbt_temporal.adapters.dbt_v2.results import EndingsJudge
from dbt_temporal.application.ports.engine import BEGUN
from dbt_temporal.testing.waiting import until

A, B, C, D = "model.p.a", "model.p.b", "model.p.c", "model.p.d"
PARENTS = {A: [], B: [A], C: [B], D: []}
TRANSIENT = "deadlock detected"


def line(name: str, unique_id: str = "", *, message: str = "", level: str = "info", **data: Any) -> bytes:
    """A line of its log."""
    node = {"node_info": {"unique_id": unique_id}} if unique_id else {}
    info = {"name": name, "level": level, "msg": message, "ts": "2026-01-01T00:00:00Z"}
    return orjson.dumps({"info": info, "data": {**data, **node}})


def shows(unique_id: str, name: str, message: str, **data: Any) -> bytes:
    """What it shows of a node, which it names otherwise than elsewhere."""
    info = {"name": name, "level": "info", "msg": message, "ts": "2026-01-01T00:00:00Z"}
    return orjson.dumps({"info": info, "data": {**data, "unique_id": unique_id}})


def hear(process: V2Process, *lines: bytes) -> None:
    """Has a process tell something."""
    for each in lines:
        event = read_event(each)
        assert event is not None
        process.told.hear(event)
    process.changed()


def begun(unique_id: str) -> bytes:
    return line("NodeStart", unique_id)


def ended(unique_id: str, status: str = "success", **result: Any) -> bytes:
    return line("NodeFinished", unique_id, run_result={"status": status, "execution_time": 0.5, **result})


def error(unique_id: str, text: str, code: str = "DbDriverFailed (dbt1308)") -> bytes:
    return line("Generic", unique_id, level="error", message=f"[error] [{code}]: {text}")


def completed(*, success: bool = True) -> bytes:
    return line("CommandCompleted", success=success)


def end(process: V2Process, *lines: bytes) -> None:
    """Has a process tell something and end."""
    hear(process, *lines)
    process.ended.set()
    process.changed()


def process(number: int = 1, nodes: frozenset[str] | None = None) -> V2Process:
    return V2Process(number, Path("/nowhere"), nodes)


class Heard(list[bool]):
    """Hears whether a node has begun."""

    def __call__(self, facts: Mapping[str, Any]) -> None:
        if BEGUN in facts:
            self.append(facts[BEGUN])


class Course:
    """A course whose processes tell what the test says."""

    def __init__(self, folder: Path) -> None:
        self.fails_fast = True
        judge = EndingsJudge(lambda: self.fails_fast)
        self.course = RunCourse(folder, judge, cancel_secs=1.0, settle_secs=0.0)
        self.course.parents = PARENTS
        self.started: list[V2Process] = []

    async def start(self, process: V2Process) -> None:
        self.started.append(process)
        hear(process, begun("model.p.any"))

    async def begin(self) -> V2Process:
        await self.course.begin(self.start)
        return self.started[-1]

    def ask(self, unique_id: str, attempt: int = 1) -> asyncio.Task[Answer]:
        return asyncio.create_task(self.course.answer(unique_id, attempt, self.start))

    async def further(self, count: int) -> V2Process:
        await until(lambda: len(self.course.processes) == count)
        return self.started[-1]
