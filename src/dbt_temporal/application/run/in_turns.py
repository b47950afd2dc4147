"""Work on what a large run has come to, in several turns of its code: none may take long, or the server takes the run
away from its worker, again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dbt_temporal.application.fitting import InTurns, turns
from dbt_temporal.application.ports.runtime import RunRuntime
from dbt_temporal.application.shielding import cancel_again, cancels_asked
from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.domain.results import NodeExecutionResult

Item = TypeVar("Item")


async def in_turns(work: InTurns, runtime: RunRuntime, planned: PlanProjectOutput) -> list[NodeExecutionResult]:
    """What work on a run's results comes to."""
    while (results := next(work)) is None:
        await _end_turn(runtime, planned)
    return results


async def do_in_turns(
    do: Callable[[Sequence[Item]], None], items: Sequence[Item], runtime: RunRuntime, planned: PlanProjectOutput
) -> None:
    """Does something with as many items at a time as one turn has time for."""
    for number, some in enumerate(turns(items)):
        if number:
            await _end_turn(runtime, planned)
        do(some)


async def _end_turn(runtime: RunRuntime, planned: PlanProjectOutput) -> None:
    if not planned.breathes:
        return
    before = cancels_asked()
    await runtime.breathe()
    if cancels_asked() > before:
        cancel_again()  # it reaches the run at whatever that waits for next
