"""What steps leave out of a run's input is there when the engine opens the run."""

from __future__ import annotations

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.engine_runs import EngineRuns
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import FakeEngine, FakeEngineRun, FakeLeftOutInputs, ready_project
from dbt_temporal.testing.builders import INVOCATION_ID, PROJECT, STARTED_AT

WHOLE = DbtInvocation(
    invocation_id=INVOCATION_ID,
    project=PROJECT,
    started_at=STARTED_AT,
    input=parse_run_input({"select": "orders " * 1000, "target": "prod"}),
)
SHORT = WHOLE.shortened(500)


class OpeningEngine(FakeEngine):
    """Keeps what it was asked to open."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[DbtInvocation] = []

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> FakeEngineRun:
        self.opened.append(invocation)
        return await super().open(location, invocation)


async def test_the_engine_opens_the_run_with_the_whole_input() -> None:
    engine = OpeningEngine()
    left_out = FakeLeftOutInputs({"select": "others"}, WHOLE.input.model_dump(mode="json"))
    runs = EngineRuns(engine, ProjectRegistry([ready_project()]), left_out=left_out)
    await runs.open(SHORT)
    await runs.open(WHOLE)
    assert [opened.input for opened in engine.opened] == [WHOLE.input, WHOLE.input]
    assert left_out.asked == [SHORT.left_out], "what is whole is not looked for"


@pytest.mark.parametrize("left_out", [None, FakeLeftOutInputs({"select": "others"})])
async def test_a_run_whose_input_is_not_to_be_found_is_not_opened(left_out: FakeLeftOutInputs | None) -> None:
    engine = OpeningEngine()
    with pytest.raises(DbtTemporalError, match="select"):
        await EngineRuns(engine, ProjectRegistry([ready_project()]), left_out=left_out).open(SHORT)
    assert engine.opened == []
