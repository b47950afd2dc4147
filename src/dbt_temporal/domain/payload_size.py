"""Keeping results within what one Temporal payload takes: 2 MiB, beyond which a run could neither go on nor end.

What is dropped is in run_results.json, which is made from the engine's records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dbt_temporal.domain.results import NodeExecutionResult

MAX_RESULTS_BYTES = 1_200_000
"""Of all results of a run together; the rest of a payload is the invocation and the run log."""
MAX_MESSAGE_CHARS = 16_000
_SHORT_MESSAGE_CHARS = 200
MAX_LOG_BYTES = 600_000

_Cut = Callable[[NodeExecutionResult], NodeExecutionResult]


def fit_result(result: NodeExecutionResult) -> NodeExecutionResult:
    """One result with a message that a person would read to its end."""
    return _with_message(result, MAX_MESSAGE_CHARS)


def fit_results(results: Sequence[NodeExecutionResult], limit: int = MAX_RESULTS_BYTES) -> list[NodeExecutionResult]:
    """The results with as much detail as fits: first timings and adapter responses go, then long messages, then all
    messages of what did not fail, then those results themselves."""
    fitting = list(results)
    cuts: tuple[_Cut, ...] = (
        lambda result: result.model_copy(update={"timing": [], "adapter_response": {}}),
        lambda result: _with_message(result, _SHORT_MESSAGE_CHARS),
        lambda result: result if result.status == "error" else result.model_copy(update={"message": None}),
    )
    for cut in cuts:
        if _size(fitting) <= limit:
            return fitting
        fitting = [cut(result) for result in fitting]
    # Failures first: they are what somebody has to act on.
    by_need = sorted(fitting, key=lambda result: result.status != "error")
    room = limit
    kept = set()
    for result in by_need:
        room -= _size([result])
        if room < 0:
            break
        kept.add(result.unique_id)
    return [result for result in fitting if result.unique_id in kept]


def fit_log(text: str, limit: int = MAX_LOG_BYTES) -> str:
    """The log with its middle left out where it is too long."""
    if len(text.encode()) <= limit:
        return text
    half = limit // 2
    head, tail = text[:half].rpartition("\n")[0], text[-half:].partition("\n")[2]
    left_out = text.count("\n") - head.count("\n") - tail.count("\n") - 1
    return f"{head}\n... {left_out} lines are left out here: the run is too large to carry its whole log ...\n{tail}"


def _with_message(result: NodeExecutionResult, limit: int) -> NodeExecutionResult:
    message = result.message
    if message is None or len(message) <= limit:
        return result
    return result.model_copy(update={"message": f"{message[:limit]} ... ({len(message) - limit} characters left out)"})


def _size(results: Sequence[NodeExecutionResult]) -> int:
    return sum(len(result.model_dump_json()) + 1 for result in results)
