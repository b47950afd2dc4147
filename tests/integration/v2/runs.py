"""Runs on dbt v2, and what they have come to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.in_process.runtime import run_in_process
from dbt_temporal.application.ports.engine import DbtEngine, ProjectLocation
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import DbtRunOutput

FAILS_ONCE = """
create sequence tries;
create function fails_once() returns int language plpgsql as $$
begin
  if nextval('tries') = 1 then raise exception 'deadlock detected' using errcode = '40P01'; end if;
  return 1;
end $$;
"""
"""A function of PostgreSQL, whose first call ends with an error that is worth another attempt."""
HOOKS = """
on-run-start: "create table if not exists {{ target.schema }}.hooks (what text)"
on-run-end: "insert into {{ target.schema }}.hooks values ('{{ results | map(attribute='status') | join(',') }}')"
"""
"""Of a project on PostgreSQL: on-run-end writes down how the nodes of its process have ended."""


async def run(
    engine: DbtEngine, location: ProjectLocation, run_input: Mapping[str, Any], store: Path, **config: Any
) -> DbtRunOutput:
    """A run with retries, as a worker makes it."""
    loaded = await engine.load_project(location)
    retry = {"initial_interval_secs": 0.05, "max_interval_secs": 0.1}
    project = ReadyProject(loaded, ProjectConfig.model_validate({"retry": retry, **config}))
    use_cases = UseCases.build(
        engine, ProjectRegistry([project]), FsspecArtifactStore(str(store)), write_artifacts=True
    )
    return await run_in_process(dict(run_input), use_cases)


def words(output: DbtRunOutput) -> dict[str, str | None]:
    return {result.unique_id.rpartition(".")[2]: result.dbt_status for result in output.node_results}


def stored(store: Path, output: DbtRunOutput, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((store / output.invocation_id / name).read_bytes())
    return document
