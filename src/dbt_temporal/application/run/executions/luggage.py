"""What one execution of a run packs for the next one, and unpacks of the one before it."""

from __future__ import annotations

from dataclasses import replace

from dbt_temporal.application.ports.runtime import RunRuntime
from dbt_temporal.application.run.executions.carried import (
    PackedPlan,
    Progress,
    Segment,
    Unpacked,
    pack,
    pack_history,
    pack_plan,
)
from dbt_temporal.application.run.executions.parts import joined_length
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.application.shielding import cancel_again, cancels_asked, shielded
from dbt_temporal.application.steps.messages import PlanProjectOutput

AT_ONCE_BYTES = 256 * 1024
"""More than that, of some 2,500 nodes, is unpacked in several turns: none may take long."""
BREATH_SECS = 0.001
"""Of runs whose plan is in one part: in earlier releases these are large as well."""


class Luggage:
    """That of one run."""

    def __init__(self, runtime: RunRuntime) -> None:
        self._runtime = runtime
        self._plan: PackedPlan | None = None
        self._history: list[Segment] = []
        self.was_cut_off = False
        """Whether an execution before this one was reset."""

    def pack_plan(self, planned: PlanProjectOutput) -> PackedPlan:
        """Packs the plan, if that is not done."""
        if self._plan is None or self._plan.planned is not planned:
            self._plan = pack_plan(planned)
        return self._plan

    def packed(self, planned: PlanProjectOutput, live: LiveState, progress: Progress) -> list[bytes]:
        """All parts."""
        plan, limit = self.pack_plan(planned), self._runtime.budget.step_results_bytes
        history = pack_history(plan, self._history, live.state.results, live.log.carried(), limit)
        return pack(plan, history, progress)

    async def unpack_into(self, live: LiveState, carried: bytes) -> tuple[PlanProjectOutput, Progress]:
        """Has the live state go on, and returns the plan and where the run stands."""
        cancels_before = cancels_asked()
        taken = await shielded(self._runtime.take_over(carried))
        parts, takes_turns = Unpacked(taken), joined_length(taken) > AT_ONCE_BYTES
        plan: PackedPlan | None = None
        for plan in parts.plan():
            if plan is None:
                await self._runtime.breathe()
        assert plan is not None
        self._history = []
        for segment in parts.history(plan):
            if len(plan.parts) > 1:
                await self._runtime.breathe()
            elif takes_turns:
                await shielded(self._runtime.sleep(BREATH_SECS))
            self._history.append(segment)
        progress = parts.progress(plan)
        self.was_cut_off = progress.was_cut_off
        begun = {"begun_in": self._runtime.execution, "was_cut_off": self.was_cut_off}
        invocation = plan.planned.invocation.model_copy(update=begun)
        self._plan = plan = replace(plan, planned=plan.planned.model_copy(update={"invocation": invocation}))
        live.restore(
            progress.live,
            plan.planned.plan,
            [result for segment in self._history for result in segment.results],
            [line for segment in self._history for line in segment.lines],
            invocation.input,
        )
        if cancels_asked() > cancels_before:
            # It reaches the run at whatever that waits for next: by then all that it knows is there to be stored.
            cancel_again()
        return plan.planned, progress
