"""How a run ends where little or nothing is to be done, and after a first error: as on the dbt command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.equality.compare import manifest_difference, run_cli, run_results_difference
from tests.integration.equality.test_resolved_flags import SLOWLY, Sides

pytestmark = pytest.mark.every_dbt_version

HOOKS = """\
on-run-start: ["create table if not exists started as select 1 as n"]
on-run-end: ["create table ended as select {{ results | length }} as n"]
"""
EPHEMERAL = {
    "models/source_of_all.sql": "{{ config(materialized='ephemeral') }} select 1 as n",
    "models/inlined.sql": "{{ config(materialized='ephemeral') }} select n from {{ ref('source_of_all') }}",
    "models/user.sql": "select n from {{ ref('inlined') }}",
}


@pytest.mark.parametrize("command", ["run", "build"])
async def test_hooks_run_where_only_ephemeral_models_are_selected(
    engine: DbtCoreEngine, tmp_path: Path, command: str
) -> None:
    sides = Sides(engine, tmp_path, EPHEMERAL, HOOKS)
    ours = await sides.ours(command=command, select="inlined")
    theirs = sides.theirs(command, "--select", "inlined")
    assert ours.output.success
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []
    assert manifest_difference(ours.artifacts["manifest.json"], theirs.with_name("manifest.json")) == []
    for table in ("started", "ended"):
        assert sides.rows("ours", f"from {table}") == sides.rows("theirs", f"from {table}")


@pytest.mark.parametrize("select", ["inlined", "inlined user", "+user", None])
async def test_compile_has_results_of_ephemeral_models_where_the_command_line_has_them(
    engine: DbtCoreEngine, tmp_path: Path, select: str | None
) -> None:
    sides = Sides(engine, tmp_path, EPHEMERAL, HOOKS)
    ours = await sides.ours(command="compile", select=select)
    theirs = sides.theirs("compile", *(["--select", *select.split()] if select else []))
    assert ours.output.success
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []
    code = {result.unique_id.rpartition(".")[2]: result.compiled_code for result in ours.output.node_results}
    assert ("inlined" in code) == (select is not None)
    assert "__dbt__cte__" in (code["inlined" if select else "user"] or "")


UNIT_TEST = {
    "models/one.sql": "select 1 as n",
    "models/unit.yml": """\
unit_tests: [{name: adds_up, model: one, given: [], expect: {rows: [{n: 1}]}}]
""",
}


async def test_a_unit_test_is_not_run_where_its_model_is_not_selected(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, UNIT_TEST, HOOKS)
    ours = await sides.ours(command="build", select="adds_up")
    theirs = sides.theirs("build", "--select", "adds_up")
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []
    assert ours.output.node_results == []


def command_line(sides: Sides, *arguments: str) -> tuple[int, Path]:
    """The exit code of the command line, and the folder that it wrote into."""
    target = sides.folder / "theirs" / "target"
    return run_cli(arguments, sides.project, target, sides.env("theirs", {})).returncode, target


async def test_nothing_to_do_is_a_warning(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, {"models/one.sql": "select 1 as n"}, HOOKS)
    ours = await sides.ours(command="test")
    code, target = command_line(sides, "test")
    assert (ours.output.success, code) == (True, 0)
    assert run_results_difference(ours.artifacts["run_results.json"], target / "run_results.json") == []


async def test_nothing_to_do_is_an_error_where_warnings_are(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, {"models/one.sql": "select 1 as n"}, "flags: {warn_error: true}\n")
    with pytest.raises(DbtTemporalError, match="Nothing to do") as caught:
        await sides.ours(command="test")
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.COMPILATION, False)
    code, target = command_line(sides, "test")
    assert (code, (target / "run_results.json").exists()) == (2, False)


# Slowly, so that `c` is always handed out first.
FAILS_SLOWLY = f"""{SLOWLY}\
{{% if execute %}}
    {{{{ exceptions.raise_compiler_error('no') }}}}
{{% endif %}}
select 1 as n
"""
DOES_NOT_COMPILE = {
    "models/a.sql": "select 1 as n",
    "models/b_fails.sql": FAILS_SLOWLY,
    "models/c.sql": "select n from {{ ref('a') }}",
    "models/d.sql": "select n from {{ ref('c') }}",
}


@pytest.mark.parametrize("select", [None, "a b_fails c d"])
async def test_compile_ends_at_its_first_error_without_results(
    engine: DbtCoreEngine, tmp_path: Path, select: str | None
) -> None:
    sides = Sides(engine, tmp_path, DOES_NOT_COMPILE)
    ours = await sides.ours(command="compile", select=select)
    code, target = command_line(sides, "compile", *(["--select", *select.split()] if select else []))
    assert (ours.output.success, code) == (False, 2)
    statuses = {result.unique_id.rpartition(".")[2]: result.status for result in ours.output.node_results}
    assert statuses == {"a": "success", "b_fails": "error", "c": "success", "d": "skipped"}
    assert not (target / "run_results.json").exists()
    assert ours.artifacts.keys() & {"run_results.json"} == set()
    assert manifest_difference(ours.artifacts["manifest.json"], target / "manifest.json") == []


async def test_compile_with_fail_fast_has_results(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, DOES_NOT_COMPILE)
    ours = await sides.ours(command="compile", fail_fast=True)
    theirs = sides.theirs("compile", "--fail-fast")
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []


FAILS = SLOWLY + "select n from nowhere"
# Slowly, so that it has not ended when dbt ends its threads.
GOES_ON = SLOWLY + "select 1 as n"
FAIL_FAST: dict[str, Mapping[str, str]] = {
    "all that is left waits for what runs": {
        "models/a_fails.sql": FAILS,
        "models/b.sql": "select 1 as n",
        "models/c.sql": "select n from {{ ref('b') }}",
    },
    "a node waits for the failed one": {
        "models/a_fails.sql": FAILS,
        "models/b.sql": GOES_ON,
        "models/c.sql": "select n from {{ ref('a_fails') }}",
    },
    "all is handed out": {
        "models/a_fails.sql": FAILS,
        "models/b.sql": GOES_ON,
        "models/c.sql": "select 2 as n",
    },
    "ephemeral models and unit tests": {
        "models/a.sql": "select 1 as n",
        "models/b.sql": "select n from {{ ref('a') }}",
        "models/c.sql": "select n from {{ ref('b') }}",
        "models/inlined.sql": "{{ config(materialized='ephemeral') }} select n from {{ ref('a') }}",
        "models/last.sql": "{{ config(materialized='ephemeral') }} select n from {{ ref('c') }}",
        "models/unit.yml": """\
unit_tests:
  - {name: fails, model: b, given: [{input: ref('a'), rows: [{n: 1}]}], expect: {rows: [{n: 2}]}}
  - {name: is_not_run, model: c, given: [{input: ref('b'), rows: [{n: 1}]}], expect: {rows: [{n: 2}]}}
""",
    },
}
ENDED = """\
on-run-end:
  - |
    create table ended as select * from (values
    {% for result in results %}
    ('{{ result.node.unique_id }}', '{{ result.status }}', '{{ result.message }}'),
    {% endfor %}
    ('', '', '')) as results
"""
BEGUN = re.compile(r"\.results\.model\.project\.b\.compiled(_code)?: ")


@pytest.mark.parametrize("case", FAIL_FAST)
async def test_fail_fast_lets_run_what_the_command_line_lets_run(
    engine: DbtCoreEngine, tmp_path: Path, case: str
) -> None:
    sides = Sides(engine, tmp_path, FAIL_FAST[case], ENDED)
    ours = await sides.ours(command="build", fail_fast=True)
    theirs = sides.theirs("build", "--fail-fast")
    assert not ours.output.success
    differences = run_results_difference(ours.artifacts["run_results.json"], theirs)
    # Whether a node has begun when the run is ended is a matter of moments, on the command line as well.
    assert [
        line for line in differences if not (BEGUN.match(line) and ours.status("model.project.b") == "skipped")
    ] == []
    assert sorted(sides.rows("ours", "from ended")) == sorted(sides.rows("theirs", "from ended"))
