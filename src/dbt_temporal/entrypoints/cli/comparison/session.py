"""Builds a project by both engines in this process, and has the database compare what they have built."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from dependency_injector import providers
from rich.console import Console

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.engine_comparison.profiles import profile_name, target_name, write_profile
from dbt_temporal.adapters.engine_comparison.project import read_result, write_project
from dbt_temporal.adapters.in_process import run_in_process
from dbt_temporal.adapters.project_config_file import read_project_config
from dbt_temporal.adapters.project_sources.local import LocalFolder
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runtime import StateChange
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.engine_comparison import (
    EngineBuild,
    EngineComparison,
    Place,
    RelationsCompared,
    compare,
    shared_places,
    to_compare,
)
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import DbtRunOutput, is_project_hook
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.engines import DBT_CORE, V2
from dbt_temporal.entrypoints.settings import Settings

ENGINES = (DBT_CORE, V2)
_BUILT_FIRST = V2
"""A DuckDB file that dbt v2 has written can be read by every later DuckDB, and not the other way round."""
_RELATIONS = ("model", "seed", "snapshot")
_SHOWN_PLACES = 3


@dataclass(frozen=True)
class ComparisonOptions:
    """What is compared.

    Attributes:
        project_dir, profiles_dir: where it is; `profiles_dir` None means DBT_PROFILES_DIR, else as for a worker.
        target: of the profile, of which each engine gets a copy with a schema of its own; None for DBT_TARGET, else
            the profile's own.
        targets: two targets instead, as they are: dbt-core's, and v2's.
        run_input: fields of the run's input: the selection, variables and the like.
        examples: how many differing rows are shown of each side.
    """

    project_dir: Path
    profiles_dir: Path | None
    target: str | None
    targets: tuple[str, str] | None
    run_input: Mapping[str, Any]
    examples: int


async def compare_engines(
    options: ComparisonOptions, settings: Settings, environ: Mapping[str, str], console: Console
) -> EngineComparison:
    """Builds the project twice, and compares. Nothing is built where both would write to the same relations.

    Raises:
        DbtTemporalError: an engine is not there, or cannot plan the project; or the input is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="dbt-temporal-compare-") as folder:
        session = _Session(options, settings, environ, console, Path(folder))
        try:
            return await session.run()
        finally:
            await session.close()


class _Session:
    def __init__(
        self,
        options: ComparisonOptions,
        settings: Settings,
        environ: Mapping[str, str],
        console: Console,
        folder: Path,
    ) -> None:
        self._options = options
        self._console = console
        self._folder = folder
        self._settings = settings.projects
        container = WorkerContainer()
        container.settings.override(providers.Object(settings.model_copy(update={"cache_dir": folder / "cache"})))
        container.environ.override(providers.Object(environ))
        container.current_dir.override(providers.Object(Path.cwd()))
        self._container = container
        self._engine = container.engine()

    async def close(self) -> None:
        await self._engine.close()

    async def run(self) -> EngineComparison:
        self._refuse_missing_engines()
        locations = await self._locations()
        config = await self._config(locations[DBT_CORE])
        projects = {name: await self._load(location, config) for name, location in locations.items()}
        planned: dict[str, Mapping[str, Place]] = {}
        selection = {name: given for name, given in self._options.run_input.items() if name != "threads"}
        for name in ENGINES:
            output, store = await self._run(projects[name], {"command": "list", **selection})
            planned[name] = _places(store, output, [result.unique_id for result in output.node_results])
        self._refuse_shared(planned)
        builds = {name: await self._build(name, projects[name]) for name in (_BUILT_FIRST, DBT_CORE)}
        first, second = builds[DBT_CORE], builds[V2]
        relations = await self._compare_relations(locations[DBT_CORE], first, second)
        return compare(first, second, relations)

    def _refuse_missing_engines(self) -> None:
        missing = [name for name in ENGINES if name not in self._container.engines()]
        if missing:
            raise configuration_error(
                f"the engine {missing[0]} is not here: both are needed to compare them; docs/engines.md says how to "
                "install dbt v2, and DBT_TEMPORAL_V2_BINARY names its program"
            )

    async def _locations(self) -> dict[str, ProjectLocation]:
        options = self._options
        source = LocalFolder(
            options.project_dir,
            named_by="--project-dir",
            profiles_dir=options.profiles_dir or self._settings.profiles_dir,
            target=options.target or self._settings.target,
        )
        found = await source.locate()
        if len(found) > 1:
            folders = ", ".join(str(each.project_dir) for each in found)
            raise configuration_error(f"--project-dir: {options.project_dir} holds several projects: {folders}")
        location = found[0]
        if options.targets is not None:
            return {
                name: replace(location, engine=name, target=target)
                for name, target in zip(ENGINES, options.targets, strict=True)
            }
        profile = profile_name(location.project_dir)
        target = location.target or target_name(location.profiles_dir, profile)
        locations = {}
        for name in ENGINES:
            folder = self._folder / "profiles" / name
            write_profile(location.profiles_dir, profile, target, f"_{name.replace('-', '_')}", folder)
            locations[name] = replace(location, engine=name, target=target, profiles_dir=folder)
        return locations

    async def _config(self, location: ProjectLocation) -> ProjectConfig:
        """What of dbt_temporal.yml a build in this process has: no hooks, as nobody is there to do their workflows."""
        given = read_project_config(location.project_dir)
        return ProjectConfig(retry=given.retry, timeouts=given.timeouts, scheduling=given.scheduling)

    async def _load(self, location: ProjectLocation, config: ProjectConfig) -> ReadyProject:
        self._say(f"{location.engine}: reading the project")
        return ReadyProject(await self._engine.load_project(location), config)

    async def _run(
        self, project: ReadyProject, run_input: Mapping[str, Any], *, aloud: bool = False
    ) -> tuple[DbtRunOutput, Path]:
        store = self._folder / "store" / str(project.loaded.location.engine)
        use_cases = UseCases.build(
            self._engine, ProjectRegistry([project]), FsspecArtifactStore(str(store)), write_artifacts=True
        )

        def show(change: StateChange) -> None:
            for line in change.log_lines if aloud else ():
                self._console.print(f"{project.loaded.location.engine}: {line}", markup=False, soft_wrap=True)

        output = await run_in_process(dict(run_input), use_cases, observe=show)
        return output, store / output.invocation_id

    def _refuse_shared(self, planned: Mapping[str, Mapping[str, Place]]) -> None:
        shared = shared_places(planned[DBT_CORE], planned[V2])
        if shared:
            named = ", ".join(str(place) for place in shared[:_SHOWN_PLACES])
            more = ", ..." if len(shared) > _SHOWN_PLACES else ""
            raise configuration_error(
                f"both engines would write to the same {len(shared)} relations ({named}{more}): their names do "
                "not go by the target's schema; name two targets that keep them apart by --targets"
            )

    async def _build(self, name: str, project: ReadyProject) -> EngineBuild:
        output, store = await self._run(project, {"command": "build", **self._options.run_input}, aloud=True)
        results = {result.unique_id: result for result in output.node_results}
        return EngineBuild(
            engine=name,
            version=output.dbt_version or project.loaded.dbt_version,
            seconds=output.elapsed_time,
            results={uid: each for uid, each in results.items() if not is_project_hook(uid)},
            places=_places(store, output, results),
        )

    async def _compare_relations(
        self, location: ProjectLocation, first: EngineBuild, second: EngineBuild
    ) -> dict[str, RelationsCompared]:
        ids = to_compare(first, second)
        if not ids:
            return {}
        self._say(f"Comparing {len(ids)} relations")
        folder = self._folder / "comparison"
        pairs = {unique_id: (first.places[unique_id], second.places[unique_id]) for unique_id in ids}
        analyses = write_project(folder, profile_name(location.project_dir), pairs, self._options.examples)
        place = ProjectLocation(folder, location.profiles_dir, target=location.target, engine=DBT_CORE)
        run_input = {"command": "compile"}
        if self._options.run_input.get("vars"):  # the profile may have them
            run_input["vars"] = self._options.run_input["vars"]
        output, _ = await self._run(await self._load(place, ProjectConfig()), run_input)
        results = {result.unique_id: result for result in output.node_results}
        return {
            unique_id: read_result(results[each]) if each in results else RelationsCompared(problem="was not compared")
            for each, unique_id in analyses.items()
        }

    def _say(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False, soft_wrap=True)


def _places(store: Path, output: DbtRunOutput, unique_ids: Sequence[str] | Mapping[str, Any]) -> dict[str, Place]:
    """Where nodes have relations, by the manifest that a run has stored."""
    try:
        manifest = orjson.loads((store / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise configuration_error(f"{output.engine} has stored no manifest.json: {error}") from error
    places = {}
    for unique_id in unique_ids:
        node = manifest["nodes"].get(unique_id)
        if node is None or node["resource_type"] not in _RELATIONS or node["config"].get("materialized") == "ephemeral":
            continue
        places[unique_id] = Place(node.get("database"), node["schema"], node.get("alias") or node["name"])
    return places
