"""What is kept of parses, in memory and on disk, and what it is kept for: real dbt on DuckDB."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.project_files import content_revision
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import new_invocation, open_engine, opened, write_files
from tests.integration.servers import wait_for

PROFILES = """
small:
  target: "{{ env_var('SMALL_TARGET', 'dev') }}"
  outputs:
    dev: &dev {type: duckdb, path: ":memory:", schema: main, threads: 1}
    prod: *dev
"""


def small_project(folder: Path) -> ProjectLocation:
    write_files(
        folder,
        {
            "dbt_project.yml": "name: small\nprofile: small\n",
            "profiles.yml": PROFILES,
            "models/by_target.sql": "{{ config(schema=target.name) }} select 1 as x",
            "models/by_variable.sql": "{{ config(alias='made_for_' ~ env_var('WHO', 'nobody')) }} select 1 as x",
        },
    )
    return ProjectLocation(folder, folder, revision="first")


def parents(folder: Path) -> list[Path]:
    """The folders of parses that are kept in memory."""
    return list(folder.glob("cache/workers/*/parents/*"))


async def names(engine: DbtCoreEngine, location: ProjectLocation, **env: str) -> dict[str, str]:
    """schema.alias of each model, as dbt's manifest of a run with this environment has them."""
    invocation = new_invocation(command="list", env=env)
    files = await opened(engine, location, invocation).artifacts([], 0.0)
    nodes = json.loads(files["manifest.json"].read_bytes())["nodes"].values()
    await engine.end_run(invocation.invocation_id)
    return {node["name"]: f"{node['schema']}.{node['alias']}" for node in nodes}


async def test_a_target_that_the_environment_names_is_never_that_of_an_earlier_parse(tmp_path: Path) -> None:
    location = small_project(tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        assert (await names(engine, location, SMALL_TARGET="dev"))["by_target"] == "main_dev.by_target"
        # dbt's own check compares the connection, and both targets have the same.
        assert (await names(engine, location, SMALL_TARGET="prod"))["by_target"] == "main_prod.by_target"


async def test_what_an_environment_changes_is_parsed_again(tmp_path: Path) -> None:
    location = small_project(tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        for who in ("ann", "ben", "ann"):
            assert (await names(engine, location, WHO=who))["by_variable"] == f"main.made_for_{who}"
        assert (await names(engine, location))["by_variable"] == "main.made_for_nobody"


async def test_an_environment_that_comes_back_is_not_parsed_from_nothing(tmp_path: Path) -> None:
    location = small_project(tmp_path / "project")
    for _ in range(2):
        async with open_engine(tmp_path / "cache") as engine:
            for target in ("dev", "prod"):
                await names(engine, location, SMALL_TARGET=target)
    # One file for each target; dbt starts from it.
    assert len(list((tmp_path / "cache" / "parsed").iterdir())) == 2


async def test_unused_parses_are_evicted_when_they_hold_too_much_memory(tmp_path: Path) -> None:
    location = small_project(tmp_path / "project")

    async def only_the_last_is_left() -> bool:
        return len(parents(tmp_path)) == 1

    async with open_engine(tmp_path / "cache", limits=EngineLimits(projects_memory_mb=1)) as engine:
        for who in ("ann", "ben", "ben"):
            await names(engine, location, WHO=who)
        await wait_for(only_the_last_is_left, within=60)


def edited(location: ProjectLocation) -> ProjectLocation:
    """A project that somebody may edit, at the revision that its files have now."""
    return replace(location, changeable=True, revision=content_revision(location.project_dir))


async def test_a_run_keeps_to_the_files_that_it_was_planned_on_although_they_are_edited(tmp_path: Path) -> None:
    before = edited(small_project(tmp_path / "project"))
    async with open_engine(tmp_path / "cache") as engine:
        assert set(await names(engine, before)) == {"by_target", "by_variable"}
        write_files(before.project_dir, {"models/added.sql": "select 1 as x"})
        after = edited(before)
        assert set(await names(engine, after)) == {"by_target", "by_variable", "added"}
        # By a host of its own each, as where the run's host was lost or ended when it was idle.
        assert set(await names(engine, before)) == {"by_target", "by_variable"}


async def test_files_that_were_edited_are_never_taken_for_the_revision_before(tmp_path: Path) -> None:
    before = edited(small_project(tmp_path / "project"))
    write_files(before.project_dir, {"models/added.sql": "select 1 as x"})
    async with open_engine(tmp_path / "cache") as engine:
        with pytest.raises(DbtTemporalError, match=f"revision {before.revision} is not in .* any more") as caught:
            await names(engine, before)
        assert (caught.value.error_type, caught.value.retryable) == (ErrorType.PROJECT_NOT_FOUND, True)
        (before.project_dir / "models" / "added.sql").unlink()
        assert set(await names(engine, before)) == {"by_target", "by_variable"}


async def test_profiles_outside_of_the_project_are_read_again_when_they_change(tmp_path: Path) -> None:
    location = edited(small_project(tmp_path / "project"))
    secrets = tmp_path / "secrets"
    write_files(secrets, {"profiles.yml": PROFILES})
    location = replace(location, profiles_dir=secrets)
    async with open_engine(tmp_path / "cache") as engine:
        assert (await names(engine, location))["by_variable"] == "main.made_for_nobody"
        write_files(secrets, {"profiles.yml": PROFILES.replace("schema: main", "schema: other")})
        assert (await names(engine, location))["by_variable"] == "other.made_for_nobody"


async def test_what_a_killed_worker_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = tmp_path / "cache" / "workers" / "unfinished-left"
    write_files(left, {"runs/some/target/run/model.sql": "select 1"})
    async with open_engine(tmp_path / "cache") as first:
        assert not left.exists()
        location = small_project(tmp_path / "project")
        await first.load_project(location)
        async with open_engine(tmp_path / "cache"):
            assert len(parents(tmp_path)) == 1  # the first lives
    assert list((tmp_path / "cache" / "workers").iterdir()) == []


async def test_a_project_given_by_a_link_is_that_which_the_link_leads_to_when_a_run_is_planned(tmp_path: Path) -> None:
    small_project(tmp_path / "1")
    small_project(tmp_path / "2")
    write_files(tmp_path / "2", {"models/added.sql": "select 1 as x"})
    current = tmp_path / "current"
    current.symlink_to("1")
    before = edited(ProjectLocation(current, current))
    async with open_engine(tmp_path / "cache") as engine:
        assert set(await names(engine, before)) == {"by_target", "by_variable"}
        current.unlink()
        current.symlink_to("2")
        assert set(await names(engine, edited(before))) == {"by_target", "by_variable", "added"}
        assert set(await names(engine, before)) == {"by_target", "by_variable"}
