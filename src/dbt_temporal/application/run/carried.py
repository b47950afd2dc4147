"""What a run carries from one execution of its workflow into the next: all that it has to know to go on.

Two parts, compressed each by itself: the plan, which stays as it is from execution to execution, and what has happened.
The ids of nodes are most of both, so they are written once and referred to.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, Field, TypeAdapter

from dbt_temporal.application.fitting import fit_carried_results
from dbt_temporal.application.steps.messages import Keeper, PlanProjectOutput
from dbt_temporal.domain.hooks import HookError
from dbt_temporal.domain.results import NodeExecutionResult

_LENGTH_BYTES = 4
_MARK = "\x01"
"""Begins a reference to an id, and no other string: those that do begin with it are given another one."""
_RESULTS = TypeAdapter(list[NodeExecutionResult])


class Progress(BaseModel):
    """What has happened so far.

    Attributes:
        started_at: when the run began.
        executing_since: when on-run-start did.
        fail_fast_by_update: what an operator has said.
        live: the snapshot of `LiveState`, without results.
        results: of nodes and hooks.
        nodes: the snapshot of `NodeSteps`.
        keeper: the worker that the run keeps to.
        lease_scope: where the run has a lease.
        hook_errors: of pre_run hooks.
    """

    started_at: datetime
    executing_since: datetime
    fail_fast_by_update: bool | None = None
    live: dict[str, Any]
    results: list[NodeExecutionResult] = Field(default_factory=list)
    nodes: dict[str, Any]
    keeper: Keeper | None = None
    lease_scope: str | None = None
    hook_errors: list[HookError] = Field(default_factory=list)


@dataclass(frozen=True)
class PackedPlan:
    """A plan as it is carried, and where it came from."""

    planned: PlanProjectOutput
    data: bytes
    ids: list[str]


def pack_plan(planned: PlanProjectOutput) -> PackedPlan:
    ids = [*planned.plan.nodes, *planned.ephemerals]
    told = _refer(planned.model_dump(mode="json", exclude_defaults=True), {uid: n for n, uid in enumerate(ids)})
    return PackedPlan(planned, zlib.compress(orjson.dumps([ids, told])), ids)


def pack(plan: PackedPlan, progress: Progress, results_limit: int | None) -> bytes:
    """The whole. Results have as much detail as fits into so many bytes."""
    fitting = fit_carried_results(progress.results, results_limit)
    told = progress.model_copy(update={"results": []}).model_dump(mode="json", exclude_defaults=True)
    told["results"] = _RESULTS.dump_python(fitting, mode="json", exclude_defaults=True)
    log = told["live"].pop("log")
    referred = _refer(told, {uid: n for n, uid in enumerate(plan.ids)})
    state = zlib.compress(orjson.dumps([referred, log]))
    return len(plan.data).to_bytes(_LENGTH_BYTES, "big") + plan.data + state


def unpack(carried: bytes) -> tuple[PackedPlan, Progress]:
    """The plan and what has happened.

    Raises:
        ValueError: this is nothing that `pack` has made.
    """
    try:
        end = _LENGTH_BYTES + int.from_bytes(carried[:_LENGTH_BYTES], "big")
        data = carried[_LENGTH_BYTES:end]
        ids, told = orjson.loads(zlib.decompress(data))
        progress, log = orjson.loads(zlib.decompress(carried[end:]))
    except (zlib.error, TypeError) as error:
        raise ValueError(str(error)) from error
    planned = PlanProjectOutput.model_validate(_resolve(told, ids))
    told = _resolve(progress, ids)
    told["live"]["log"] = log
    return PackedPlan(planned, data, ids), Progress.model_validate(told)


def _refer(value: Any, numbers: Mapping[str, int]) -> Any:
    """The value with references in place of ids."""
    if isinstance(value, str):
        number = numbers.get(value)
        if number is not None:
            return f"{_MARK}{number}"
        return _MARK + value if value.startswith(_MARK) else value
    if isinstance(value, list):
        return [_refer(each, numbers) for each in value]
    if isinstance(value, dict):
        return {_refer(key, numbers): _refer(each, numbers) for key, each in value.items()}
    return value


def _resolve(value: Any, ids: list[str]) -> Any:
    if isinstance(value, str):
        if not value.startswith(_MARK):
            return value
        rest = value[1:]
        return rest if rest.startswith(_MARK) else ids[int(rest)]
    if isinstance(value, list):
        return [_resolve(each, ids) for each in value]
    if isinstance(value, dict):
        return {_resolve(key, ids): _resolve(each, ids) for key, each in value.items()}
    return value
