"""What a run carries from one execution of its workflow into the next: all that it has to know to go on.

In parts, compressed each by itself. The plan (a large one in several), and the results and the log of each execution so
far, are packed once and then handed on as they are; one part is where the run stands. So what an execution packs does
not grow with those before it: a workflow has two seconds for a turn. Ids of nodes are most of all parts: they are
written once and referred to.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from dbt_temporal.application.fitting import fit_carried_results
from dbt_temporal.application.steps.messages import Keeper, PlanProjectOutput
from dbt_temporal.domain.hooks import HookError
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.plan import NodeInfo

Model = TypeVar("Model", bound=BaseModel)

PLAN_PART_NODES = 2_000
"""A plan of so many is in parts of as many: none of them takes long to read, and they are what it was sent in."""
_SEVERAL = b"\x00plan"
"""Begins a first part that says in how many parts the plan is, which follow."""
_MARK = "\x01"
"""Begins a reference to an id, and no other string: those that do begin with it are given another one."""
_RESULTS = TypeAdapter(list[NodeExecutionResult])


class Progress(BaseModel):
    """Where a run stands.

    Attributes:
        started_at: when the run began.
        executing_since: when on-run-start did.
        fail_fast_by_update: what an operator has said.
        live: the snapshot of `LiveState`.
        nodes: the snapshot of `NodeSteps`.
        keeper: the worker that the run keeps to.
        lease_scope: where the run has a lease.
        hook_errors: of pre_run hooks.
        was_cut_off: whether any execution so far was reset: nodes may have been run that nobody knows of.
        may_have_run: that of `RunContext`.
    """

    started_at: datetime
    executing_since: datetime
    fail_fast_by_update: bool | None = None
    live: dict[str, Any]
    nodes: dict[str, Any]
    keeper: Keeper | None = None
    lease_scope: str | None = None
    hook_errors: list[HookError] = Field(default_factory=list)
    was_cut_off: bool = False
    may_have_run: bool = False


@dataclass(frozen=True)
class PackedPlan:
    """A plan, and how it is carried."""

    planned: PlanProjectOutput
    parts: list[bytes]
    ids: list[str]
    numbers: dict[str, int]


@dataclass(frozen=True)
class Segment:
    """Results and lines of the log, in their order, and how they are carried."""

    results: list[NodeExecutionResult]
    lines: list[str]
    data: bytes = field(repr=False)


def pack_plan(planned: PlanProjectOutput) -> PackedPlan:
    """The plan with its parts."""
    ids = [*planned.plan.nodes, *planned.ephemerals]
    numbers = _numbers(ids)
    if len(ids) < PLAN_PART_NODES:
        return PackedPlan(planned, [_compressed([ids, _refer(_told(planned), numbers)])], ids, numbers)
    parts = pack_plan_in_parts(planned, PLAN_PART_NODES)
    return PackedPlan(planned, [_SEVERAL + str(len(parts)).encode(), *parts], ids, numbers)


def pack_plan_in_parts(planned: PlanProjectOutput, nodes_of_a_part: int) -> list[bytes]:
    """The plan in parts: all but its nodes, and then so many nodes in each."""
    ids = [*planned.plan.nodes, *planned.ephemerals]
    numbers = _numbers(ids)
    rest = planned.model_copy(update={"plan": planned.plan.model_copy(update={"nodes": {}})})
    parts = [_compressed([list(planned.ephemerals), _refer(_told(rest), numbers)])]
    nodes = list(planned.plan.nodes.values())
    for begin in range(0, len(nodes), nodes_of_a_part):
        some = nodes[begin : begin + nodes_of_a_part]
        told = [_refer(each.model_dump(mode="json", exclude_defaults=True), numbers) for each in some]
        parts.append(_compressed([[each.unique_id for each in some], told]))
    return parts


def unpack_plan_in_parts(parts: Sequence[bytes], *, at_once: bool = False) -> Iterator[PlanProjectOutput | None]:
    """Unpacks them, some after each turn, as none may take long: yields None, and the plan in the end.

    Args:
        parts: all of them.
        at_once: whether they are decompressed in one turn, as earlier releases did.

    Raises:
        ValueError: these are none, or not in a form that this release reads.
    """
    unpacked: list[Any] = []
    for each in parts:
        if unpacked and not at_once:
            yield None
        unpacked.append(_decompressed(each))
    (own, told), *rest = unpacked
    # As they were numbered: ephemerals after the nodes.
    ids = [*(unique_id for some, _ in rest for unique_id in some), *own]
    nodes: dict[str, NodeInfo] = {}
    for _, some in rest:
        yield None
        nodes |= {each.unique_id: each for each in (_validated(NodeInfo, _resolve(one, ids)) for one in some)}
    planned = _validated(PlanProjectOutput, _resolve(told, ids))
    yield planned.model_copy(update={"plan": planned.plan.model_copy(update={"nodes": nodes})})


def pack_history(
    plan: PackedPlan,
    known: Sequence[Segment],
    results: Sequence[NodeExecutionResult],
    lines: Sequence[str],
    results_limit: int | None,
) -> list[Segment]:
    """All results and lines in segments: those that are known, as far as they still hold, and one for the rest.

    Args:
        plan: whose nodes the results are of.
        known: segments of executions before this one.
        results: all of them. One whose node was opened again since is another one, or is not there.
        lines: the whole log, as `RunLog.carried` has it.
        results_limit: how many bytes all results may take; those of a segment have their share by its nodes.
    """
    segments: list[Segment] = []
    done, told = 0, 0
    for segment in known:
        there = results[done : done + len(segment.results)]
        if len(there) < len(segment.results) or any(a is not b for a, b in zip(there, segment.results, strict=True)):
            break
        segments.append(segment)
        done, told = done + len(segment.results), told + len(segment.lines)
    new, new_lines = list(results[done:]), list(lines[told:])
    limit = None if results_limit is None else results_limit * len(new) // max(len(plan.ids), 1)
    fitting = _RESULTS.dump_python(fit_carried_results(new, limit), mode="json", exclude_defaults=True)
    segments.append(Segment(new, new_lines, _compressed([_refer(fitting, plan.numbers), new_lines])))
    return segments


def pack(plan: PackedPlan, history: Sequence[Segment], progress: Progress) -> list[bytes]:
    """All parts."""
    told = _compressed(_refer(progress.model_dump(mode="json", exclude_defaults=True), plan.numbers))
    return [*plan.parts, told, *(segment.data for segment in history)]


class Unpacked:
    """What was carried, each part to be read when it is asked for.

    Raises:
        ValueError: this is nothing that `pack` has made; and so do its methods.
    """

    def __init__(self, parts: Sequence[bytes]) -> None:
        if len(parts) <= 2:
            raise ValueError("what the run carries is cut")
        of_plan = 1
        if parts[0].startswith(_SEVERAL):
            of_plan = int(parts[0].removeprefix(_SEVERAL)) + 1
        self._plan, self._rest = list(parts[:of_plan]), parts[of_plan:]
        if len(self._rest) < 2:
            raise ValueError("what the run carries is cut")

    def plan(self) -> Iterator[PackedPlan | None]:
        """The plan, some of it after each turn: yields None, and the plan in the end."""
        if len(self._plan) == 1:
            ids, told = _decompressed(self._plan[0])
            yield PackedPlan(_validated(PlanProjectOutput, _resolve(told, ids)), self._plan, ids, _numbers(ids))
            return
        for planned in unpack_plan_in_parts(self._plan[1:]):
            if planned is None:
                yield None
            else:
                ids = [*planned.plan.nodes, *planned.ephemerals]
                yield PackedPlan(planned, self._plan, ids, _numbers(ids))

    def progress(self, plan: PackedPlan) -> Progress:
        """Where the run stands."""
        return _validated(Progress, _resolve(_decompressed(self._rest[0]), plan.ids))

    def history(self, plan: PackedPlan) -> Iterator[Segment]:
        """Results and log, segment by segment."""
        return (_segment(data, plan) for data in self._rest[1:])


def _told(planned: PlanProjectOutput) -> dict[str, Any]:
    told = planned.model_dump(mode="json", exclude_defaults=True)
    # Whole: the next release may have other defaults, and this run keeps its own.
    told["config"] = planned.config.model_dump(mode="json")
    return told


def _validated(model: type[Model], value: Any) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # Without the values: `env` is among them.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"what the run carries does not fit this release: {place}: {first['msg']}") from None


def _segment(data: bytes, plan: PackedPlan) -> Segment:
    results, lines = _decompressed(data)
    return Segment(_RESULTS.validate_python(_resolve(results, plan.ids)), lines, data)


def _numbers(ids: Sequence[str]) -> dict[str, int]:
    return {unique_id: number for number, unique_id in enumerate(ids)}


def _compressed(value: Any) -> bytes:
    # Integers may have any size here.
    return zlib.compress(to_json(value, inf_nan_mode="constants"))


def _decompressed(data: bytes) -> Any:
    try:
        return from_json(zlib.decompress(data), cache_strings="keys")
    except zlib.error as error:
        raise ValueError(str(error)) from error


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
