"""A project is parsed as the dbt command line parses it: what it reads again, what it checks, what it warns of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import new_invocation, opened, write_files
from tests.integration.equality.compare import manifest_difference, read_json, run_cli, run_results_difference
from tests.integration.equality.test_resolved_flags import Sides

pytestmark = pytest.mark.every_dbt_version


def grouped(group: str, *, of_model: str | None = None) -> dict[str, str]:
    """A model in a group, and the group."""
    return {
        "models/groups.yml": f"groups: [{{name: {group}, owner: {{name: somebody}}}}]\n",
        "models/model.yml": f"models: [{{name: grouped, config: {{group: {of_model or group}}}}}]\n",
        "models/grouped.sql": "select 1 as n",
    }


async def test_a_group_may_be_renamed_between_two_runs(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, grouped("finance"))
    assert (await sides.ours(command="build")).output.success
    sides.theirs("build")
    write_files(sides.project, grouped("accounting"))
    ours = await sides.ours(command="build")
    theirs = sides.theirs("build")
    assert ours.output.success
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []
    manifests = [json.loads(ours.artifacts["manifest.json"]), read_json(theirs.with_name("manifest.json"))]
    for manifest in manifests:
        assert manifest["group_map"] == {"accounting": ["model.project.grouped"]}
    assert manifests[0]["child_map"] == manifests[1]["child_map"]


async def test_a_group_may_be_removed_between_two_runs(engine: DbtCoreEngine, tmp_path: Path) -> None:
    both = "groups:\n" + "".join(f"  - {{name: {name}, owner: {{name: x}}}}\n" for name in ("finance", "sales"))
    sides = Sides(engine, tmp_path, {**grouped("finance"), "models/groups.yml": both})
    assert (await sides.ours(command="build")).output.success
    sides.theirs("build")
    write_files(sides.project, grouped("sales"))
    ours = await sides.ours(command="build")
    assert run_results_difference(ours.artifacts["run_results.json"], sides.theirs("build")) == []
    assert json.loads(ours.artifacts["manifest.json"])["group_map"] == {"sales": ["model.project.grouped"]}


UNUSED = "models: {project: {not_there: {+materialized: table}}}\n"
ONE = {"models/one.sql": "select 1 as n"}


@pytest.mark.parametrize(("flags", "env"), [("flags: {warn_error: true}\n", {}), ("", {"DBT_WARN_ERROR": "true"})])
async def test_a_warning_of_the_parse_is_an_error_where_warnings_are(
    engine: DbtCoreEngine, tmp_path: Path, flags: str, env: dict[str, str]
) -> None:
    sides = Sides(engine, tmp_path, ONE, UNUSED + flags)
    target = tmp_path / "theirs" / "target"
    theirs = run_cli(["run"], sides.project, target, sides.env("theirs", env))
    assert (theirs.returncode, (target / "run_results.json").exists()) == (2, False)
    with pytest.raises(DbtTemporalError, match="Configuration paths exist") as caught:
        await sides.ours(env, command="run")
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.COMPILATION, False)


async def test_files_are_checked_by_dbts_schemas_for_the_adapters_alone_for_which_dbt_checks_them(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    models = "models: [{name: one, not_a_property: 1}]\n"
    sides = Sides(engine, tmp_path, {**ONE, "models/one.yml": models}, "flags: {warn_error: true}\n")
    ours = await sides.ours(command="run")
    assert run_results_difference(ours.artifacts["run_results.json"], sides.theirs("run")) == []


@pytest.mark.parametrize(
    ("flags", "command", "options"),
    [("", "run", {"selector": "not_there"}), ("flags: {warn_error: true}\n", "test", {})],
    ids=["an unknown selector", "nothing to do"],
)
async def test_the_manifest_of_a_run_that_cannot_be_planned_is_that_of_its_parse(
    engine: DbtCoreEngine, tmp_path: Path, flags: str, command: str, options: dict[str, str]
) -> None:
    sides = Sides(engine, tmp_path, ONE, flags)
    invocation = new_invocation(command=command, env=sides.env("ours", {}), **options)
    with pytest.raises(DbtTemporalError) as caught:
        await opened(engine, ProjectLocation(sides.project, sides.project), invocation).plan()
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    theirs = sides.theirs(command, *arguments).with_name("manifest.json")
    assert caught.value.manifest is not None
    ours = caught.value.manifest.read_bytes()
    assert manifest_difference(ours, theirs) == []
    assert json.loads(ours)["metadata"]["invocation_id"] == invocation.invocation_id
