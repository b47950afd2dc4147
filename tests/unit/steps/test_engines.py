"""Each project has its own engine, which its dbt_temporal.yml names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dbt_temporal.adapters.in_process import run_in_process
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.projects.engines import EngineByProject
from dbt_temporal.application.projects.loading import LoadProjects
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.table import STEPS
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import ProjectConfig, parse_project_config
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, node, plan, ready_project

PLAN = plan(node("a"))


class Projects:
    """Two projects; `new` names the second engine."""

    async def locate(self) -> list[ProjectLocation]:
        shop = ready_project().loaded.location
        return [replace(shop, project_dir=Path("/projects/old")), replace(shop, project_dir=Path("/projects/new"))]


def read_config(folder: Path) -> ProjectConfig:
    return parse_project_config({"engine": "second"} if folder.name == "new" else None, "dbt_temporal.yml")


async def test_each_run_goes_to_the_engine_of_its_project() -> None:
    first, second = FakeEngine(PLAN), FakeEngine(PLAN)
    engine = EngineByProject({"first": first, "second": second}, default="first")
    registry = ProjectRegistry(await LoadProjects([Projects()], engine, read_config)())
    use_cases = UseCases.build(engine, registry, InMemoryArtifactStore())
    assert (await run_in_process({"project": "new"}, use_cases, invocation_id="i1")).success
    assert (first.executed, second.executed) == ([], list(PLAN.nodes))
    assert (await run_in_process({"project": "old"}, use_cases, invocation_id="i2")).success
    assert first.executed == list(PLAN.nodes)
    # Whichever has it frees it.
    assert first.ended_runs == second.ended_runs == ["i1", "i2"]


async def test_an_engine_that_the_worker_does_not_have_is_refused_with_those_that_it_has() -> None:
    engine = EngineByProject({"first": FakeEngine()}, default="first")
    with pytest.raises(DbtTemporalError, match=r"`engine`: this worker has no 'second' \(it has: first\)") as caught:
        await LoadProjects([Projects()], engine, read_config, check=engine.engine_of)()
    assert caught.value.error_type is ErrorType.CONFIGURATION


async def test_every_step_has_a_use_case_of_its_name() -> None:
    use_cases = UseCases.build(FakeEngine(), ProjectRegistry(), InMemoryArtifactStore())
    assert [callable(use_cases.of(kind)) for kind in STEPS] == [True] * len(STEPS)
