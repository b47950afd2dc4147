"""Runs dbt's engine by the production run, in this process."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.in_process.runtime import run_in_process
from dbt_temporal.application.ports.engine import (
    DbtEngine,
    EnginePlan,
    EngineRun,
    LoadedProject,
    NodeOutcome,
    ProjectLocation,
)
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation
from tests.integration.servers import with_kept_schemas

REPOSITORY = Path(__file__).parents[2]


def copy_project(source: str, target: Path) -> ProjectLocation:
    """A copy of one of the repository's projects, so that a test may change it."""
    shutil.copytree(REPOSITORY / source, target, ignore=shutil.ignore_patterns("target", "logs", ".user.yml"))
    return ProjectLocation(project_dir=target, profiles_dir=target)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes text files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def new_invocation(**run_input: Any) -> DbtInvocation:
    """An invocation that starts now."""
    return DbtInvocation(
        invocation_id=str(uuid4()),
        project="any",
        started_at=datetime.now(UTC).isoformat(),
        input=DbtRunInput(**run_input),
    )


@asynccontextmanager
async def open_engine(cache_dir: Path, **options: Any) -> AsyncIterator[DbtCoreEngine]:
    """An engine that is closed afterwards."""
    engine = DbtCoreEngine(with_kept_schemas(cache_dir), **options)
    try:
        yield engine
    finally:
        await engine.close()


class _Opened:
    def __init__(self, engine: DbtEngine, location: ProjectLocation, invocation: DbtInvocation) -> None:
        self._engine = engine
        self._of = (location, invocation)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await getattr(await self._engine.open(*self._of), name)(*args, **kwargs)

        return call


def opened(engine: DbtEngine, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
    """A run on an engine, opened anew by each call, as each step does."""
    return cast(EngineRun, _Opened(engine, location, invocation))


@dataclass
class Seen:
    """What the engine answered during a run."""

    plan: EnginePlan | None = None
    outcomes: dict[str, NodeOutcome] = field(default_factory=dict)


class _SeenEngine:
    """An engine whose answers are taken note of."""

    def __init__(self, engine: DbtEngine, seen: Seen) -> None:
        self._engine = engine
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
        return cast(EngineRun, _SeenRun(await self._engine.open(location, invocation), self._seen))


class _SeenRun:
    def __init__(self, run: EngineRun, seen: Seen) -> None:
        self._run = run
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = await getattr(self._run, name)(*args, **kwargs)
            if isinstance(answer, EnginePlan):
                self._seen.plan = answer
            outcomes = [answer] if isinstance(answer, NodeOutcome) else getattr(answer, "hooks", answer)
            for outcome in outcomes if isinstance(outcomes, list) else []:
                self._seen.outcomes[outcome.result.unique_id] = outcome
            return answer

        return call


@dataclass(frozen=True)
class DrivenRun:
    """What a run left behind.

    Attributes:
        output: the run's own.
        artifacts: the stored files by name.
        plan: what the engine selected.
        outcomes: of nodes and hooks, as the engine gave them.
    """

    output: DbtRunOutput
    artifacts: Mapping[str, bytes]
    plan: EnginePlan
    outcomes: Mapping[str, NodeOutcome]

    def status(self, unique_id: str) -> str | None:
        """dbt's word for how a node ended."""
        return self.statuses()[unique_id]

    def statuses(self) -> dict[str, str | None]:
        """dbt's words by node."""
        return {result.unique_id: result.dbt_status for result in self.output.node_results}


async def drive(
    engine: DbtEngine,
    location: ProjectLocation,
    invocation: DbtInvocation,
    *,
    with_catalog: bool = False,
    with_sql: bool = False,
    run_hosts: int | None = None,
) -> DrivenRun:
    """A whole run, which makes one attempt at each node, as the command line does.

    Raises:
        DbtTemporalError: it could not be planned or set up.
    """
    seen = Seen()
    loaded = LoadedProject("any", location, adapter_type="", target="", threads=1, dbt_version="")
    project = ReadyProject(loaded, ProjectConfig.model_validate({"retry": {"max_attempts": 1}, "run_hosts": run_hosts}))
    with tempfile.TemporaryDirectory() as root:
        use_cases = UseCases.build(
            cast(DbtEngine, _SeenEngine(engine, seen)),
            ProjectRegistry([project]),
            FsspecArtifactStore(root),
            write_artifacts=True,
            write_catalog=with_catalog,
            write_sql=with_sql,
        )
        output = await run_in_process(invocation.input, use_cases, invocation_id=invocation.invocation_id)
        artifacts = await asyncio.to_thread(_files_in, Path(root) / invocation.invocation_id)
    assert seen.plan is not None
    return DrivenRun(output, artifacts, seen.plan, seen.outcomes)


def _files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
