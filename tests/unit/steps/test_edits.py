"""A run is planned on the files as they are: an edit while they are read costs it nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dbt_temporal.application.ports.engine import EnginePlan
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import PlanProjectInput, PlanProjectOutput
from dbt_temporal.application.steps.plan_project import MAX_EDITS
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import FakeEngine, FakeEngineRun, InMemoryArtifactStore, node, plan, ready_project
from dbt_temporal.testing.builders import INVOCATION_ID, STARTED_AT


class Desk:
    """A folder whose files are edited while they are read, so many times."""

    def __init__(self, edits: int = 0, error: ErrorType = ErrorType.PROJECT_NOT_FOUND) -> None:
        self.saved, self.read = 1, 0
        desk = self

        class Reading(FakeEngineRun):
            async def plan(self) -> EnginePlan:
                desk.read += 1
                if desk.read <= edits:
                    desk.saved += 1
                    raise DbtTemporalError(error, "its files were edited; undo that", retryable=True)
                return await super().plan()

        self.engine = FakeEngine(plan(node("a")))
        self.engine.run_class = Reading
        registry = ProjectRegistry([ready_project(revision="r1")], self.reread)
        self.use_cases = UseCases.build(self.engine, registry, InMemoryArtifactStore())

    async def reread(self, project: ReadyProject) -> ReadyProject:
        location = replace(project.loaded.location, revision=f"r{self.saved}")
        return replace(project, loaded=replace(project.loaded, location=location))

    async def plan(self, **run_input: Any) -> PlanProjectOutput:
        request = PlanProjectInput(invocation_id=INVOCATION_ID, started_at=STARTED_AT, input=parse_run_input(run_input))
        return await self.use_cases.plan_project(request)


@pytest.mark.parametrize("edits", [0, 1, 2])
async def test_a_run_is_planned_on_what_was_saved_last(edits: int) -> None:
    desk = Desk(edits)
    planned = await desk.plan()
    assert planned.invocation.revision == f"r{edits + 1}"
    assert desk.read == edits + 1


async def test_files_that_never_stay_are_told() -> None:
    desk = Desk(MAX_EDITS + 1)
    with pytest.raises(DbtTemporalError, match="its files were edited"):
        await desk.plan()
    assert desk.read == MAX_EDITS + 1


async def test_another_failure_is_told_at_once_though_files_were_edited() -> None:
    desk = Desk(1, ErrorType.COMPILATION)
    with pytest.raises(DbtTemporalError):
        await desk.plan()
    assert desk.read == 1


async def test_a_revision_that_is_lost_while_nobody_edits_is_told_at_once() -> None:
    desk = Desk(1)

    async def unchanged(project: ReadyProject) -> ReadyProject:
        return project

    registry = ProjectRegistry([ready_project(revision="r1")], unchanged)
    use_cases = UseCases.build(desk.engine, registry, InMemoryArtifactStore())
    with pytest.raises(DbtTemporalError, match="its files were edited"):
        await use_cases.plan_project(
            PlanProjectInput(invocation_id=INVOCATION_ID, started_at=STARTED_AT, input=parse_run_input({}))
        )
    assert desk.read == 1
