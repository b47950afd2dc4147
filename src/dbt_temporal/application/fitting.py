"""Keeping what a run sends within the budget that its runtime gives, such as what one Temporal payload takes.

What is dropped is in run_results.json, which is made from the engine's records. Sizes are those of JSON in UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from dbt_temporal.application.ports.runtime import Budget
from dbt_temporal.domain.limits import MESSAGES_LIMIT_CHARS, MORE_MESSAGES, OUTPUT_LEFT_OUT
from dbt_temporal.domain.log.said import SaidLines, plain
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.plan import ExecutionPlan

_SHORT_MESSAGE_CHARS = 200
_HEADLINE_CHARS = 60
_WARNED = 1
_NO_DATA: dict[str, Any] = {"output": None, "rows": None}

ITEMS_OF_A_TURN = 5_000
"""Of a larger run, no more are looked at in one turn: a workflow has two seconds for it, on a slow machine, too."""

Item = TypeVar("Item")
InTurns = Iterator[list[NodeExecutionResult] | None]
"""Work on results that ends some turns: None after each, and the results in the end."""
_Cut = Callable[[NodeExecutionResult], NodeExecutionResult]


def fit_result(result: NodeExecutionResult, budget: Budget, *, marks: bool = True) -> NodeExecutionResult:
    """One result with a message that a person would read to its end, and no compiled code of monstrous size.

    Args:
        result: of an attempt.
        budget: what the run may send.
        marks: whether the run knows marks of messages (`domain.log.said`).
    """
    if result.messages is not None:
        messages = fit_said(result.messages)
        result = _with(result, messages=messages if marks else plain(messages))
    if budget.code_chars is not None:
        if len(result.compiled_code or "") > budget.code_chars:
            result = _with(result, compiled_code=None)
        if json_size(result.model_copy(update={"compiled_code": None})) > budget.code_chars:
            result = _without_data(result)
    return _with_message(result, budget.message_chars)


def fit_results(results: Sequence[NodeExecutionResult], limit: int | None) -> list[NodeExecutionResult]:
    """The results with as much detail as fits, and where they do not fit without any, as many of them as do."""
    return _done(results_in_turns(results, limit))


def results_in_turns(results: Sequence[NodeExecutionResult], limit: int | None) -> InTurns:
    """The same of a large run, some after each turn."""
    if limit is None:
        yield list(results)
        return
    fitting, sizes = list(results), list[int]()
    yield from _cut_in_turns(fitting, sizes, limit)
    room = limit
    kept = set()
    for index in sorted(range(len(fitting)), key=lambda index: _need(fitting[index])):
        room -= sizes[index]
        if room < 0:
            break
        kept.add(index)
    yield [result for index, result in enumerate(fitting) if index in kept]


def fit_step_results(results: Sequence[NodeExecutionResult], limit: int | None) -> list[NodeExecutionResult]:
    """The results for on-run-end and for artifacts, which know compiled code from elsewhere. None is left out."""
    return _done(step_results_in_turns(results, limit))


def step_results_in_turns(results: Sequence[NodeExecutionResult], limit: int | None) -> InTurns:
    """The same of a large run, some after each turn."""
    without_code: list[NodeExecutionResult] = []
    for some in turns(results):
        without_code += [_with(result, compiled_code=None, **_NO_DATA) for result in some]
        if len(without_code) < len(results):
            yield None
    if limit is not None:
        yield from _cut_in_turns(without_code, [], limit)
    yield without_code


def fit_carried_results(results: Sequence[NodeExecutionResult], limit: int | None) -> list[NodeExecutionResult]:
    """The results with as much detail as fits. None is left out."""
    fitting = list(results)
    if limit is not None:
        for _ in _cut_in_turns(fitting, [], limit):
            pass
    return fitting


def _done(work: InTurns) -> list[NodeExecutionResult]:
    """What work comes to, at once."""
    return next(results for results in work if results is not None)


def _cut_in_turns(fitting: list[NodeExecutionResult], sizes: list[int], limit: int) -> Iterator[None]:
    """Cuts results in place until they fit, and fills in their sizes: first timings, adapter responses and batches go,
    then compiled code and rows, then long messages, then all messages of what neither failed nor warned, and most of
    the others; each of as few results as will do."""
    cuts: tuple[_Cut, ...] = (
        lambda result: _with(result, timing=[], adapter_response={}, batch_results=None),
        lambda result: _without_data(_with(result, compiled_code=None)),
        lambda result: _with_message(result, _SHORT_MESSAGE_CHARS),
        lambda result: result if _need(result) <= _WARNED else _with(result, message=None),
        lambda result: _with(result, message=result.message and result.message[:_HEADLINE_CHARS]),
    )
    for some in turns(fitting):
        sizes += [json_size(result) + 1 for result in some]
        if len(sizes) < len(fitting):
            yield None
    total = sum(sizes)
    for cut in cuts:
        # The longest code first, so that as many as can keep theirs.
        order = sorted(range(len(fitting)), key=lambda index: -len(fitting[index].compiled_code or ""))
        for some_of_order in turns(order):
            for index in some_of_order:
                if total <= limit:
                    return
                result = fitting[index]
                fitting[index] = cut(result)
                if fitting[index] is not result:
                    total -= sizes[index]
                    sizes[index] = json_size(fitting[index]) + 1
                    total += sizes[index]
            if len(some_of_order) < len(order):
                yield None


def turns(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """As many at a time as one turn of a run has time for."""
    return (items[begin : begin + ITEMS_OF_A_TURN] for begin in range(0, len(items), ITEMS_OF_A_TURN))


def fit_plan(plan: ExecutionPlan, limit: int) -> ExecutionPlan:
    """The plan with as much as fits: first `levels` go, which `depends_on` tells as well, then the nodes."""
    if json_size(plan) > limit:
        plan = plan.model_copy(update={"levels": []})
    if json_size(plan) > limit:
        plan = plan.model_copy(update={"nodes": {}})
    return plan


def fit_log(text: str, limit: int | None) -> str:
    """The log with its middle left out where it is too long."""
    encoded = text.encode()
    if limit is None or len(encoded) <= limit:
        return text
    half = limit // 2
    head = encoded[:half].rpartition(b"\n")[0].decode()
    tail = encoded[-half:].partition(b"\n")[2].decode()
    left_out = text.count("\n") - head.count("\n") - tail.count("\n") - 1
    return f"{head}\n... {left_out} lines are left out here: the run is too large to carry its whole log ...\n{tail}"


def fit_said(text: str, limit: int = MESSAGES_LIMIT_CHARS) -> str:
    """What dbt was had to say, as far as the run's log has room for it.

    Only for what is without secrets by now: of one that is cut, nobody would find the half that is left.
    """
    lines = text.split("\n")
    # What saying that there is more would not make shorter is left as it is.
    for room in (limit + 1 + len(MORE_MESSAGES), limit):
        said = SaidLines(room)
        for line in lines:
            said.add(line)
        if said.lines == lines:
            return text
    return "\n".join(said.lines)


def fit_message(message: str, limit: int | None) -> str:
    """A message that a person would read to its end."""
    if limit is None or len(message) <= limit:
        return message
    return f"{message[:limit]} ... ({len(message) - limit} characters left out)"


def json_size(value: BaseModel) -> int:
    """How many bytes of a payload it takes."""
    return len(value.model_dump_json().encode())


def _need(result: NodeExecutionResult) -> int:
    """Failures first, then warnings, then what was not run: they are what somebody has to act on."""
    if result.status in ("error", "cancelled"):
        return 0
    if result.dbt_status == "warn":
        return _WARNED
    return 2 if result.status == "skipped" else 3


def _without_data(result: NodeExecutionResult) -> NodeExecutionResult:
    """Without rows and printed text. Where there was any, that is said: nobody takes nothing for all of it."""
    if result.output is None and result.rows is None:
        return result
    return _with(result, **_NO_DATA, message=result.message or OUTPUT_LEFT_OUT)


def _with_message(result: NodeExecutionResult, limit: int | None) -> NodeExecutionResult:
    return result if result.message is None else _with(result, message=fit_message(result.message, limit))


def _with(result: NodeExecutionResult, **fields: Any) -> NodeExecutionResult:
    """The result with other values; the same one where they are the same, which spares large runs a second."""
    own = result.__dict__  # a large run asks 100,000 times
    for name, value in fields.items():
        if own[name] != value:
            return result.model_copy(update=fields)
    return result
