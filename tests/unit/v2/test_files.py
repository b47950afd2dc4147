"""Copies of projects, and files of runs."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_v2.helper import helper_project
from dbt_temporal.adapters.dbt_v2.processes import courses as courses_module
from dbt_temporal.adapters.dbt_v2.processes.course import RunCourse
from dbt_temporal.adapters.dbt_v2.processes.courses import Courses
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.sql_files import gather_sql
from dbt_temporal.adapters.dbt_v2.results import EndingsJudge
from dbt_temporal.adapters.dbt_v2.stage import Stage
from dbt_temporal.adapters.project_files import content_revision
from dbt_temporal.application.ports.engine import CompletedNode, ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import result
from tests.unit.v2.told import begun, completed, end, ended


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def shop(folder: Path) -> ProjectLocation:
    write(
        folder / "shop",
        dbt_project_DOT_yml="name: shop\nmacro-paths: [macros, ../shared]\n",
        models__one_DOT_sql="select 1",
        target__made_DOT_sql="by dbt",
        data_DOT_duckdb="large",
    )
    write(folder / "shared", macro_DOT_sql="{% macro m() %}{% endmacro %}")
    return ProjectLocation(
        folder / "shop", folder / "shop", revision=content_revision(folder / "shop"), changeable=True
    )


async def nothing_to_install(_folder: Path) -> None:
    raise AssertionError("the project names no packages")


async def test_a_copy_has_what_dbt_reads_and_what_the_project_names_outside_of_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "cache", "auto")
    location = shop(tmp_path)
    copy = await stage.copy_of(location, nothing_to_install)
    assert sorted(str(path.relative_to(copy.parent)) for path in copy.parent.rglob("*") if path.is_file()) == [
        "shared/macro.sql",
        "shop/dbt_project.yml",
        "shop/models/one.sql",
    ]
    write(tmp_path / "shop", models__one_DOT_sql="select 2")
    assert await stage.copy_of(location, nothing_to_install) == copy
    assert (copy / "models" / "one.sql").read_text() == "select 1"


async def test_files_of_another_revision_are_not_taken_for_those_of_the_run(tmp_path: Path) -> None:
    location = shop(tmp_path)
    write(tmp_path / "shop", models__one_DOT_sql="select 2")
    with pytest.raises(DbtTemporalError) as raised:
        await Stage(tmp_path / "cache", "auto").copy_of(location, nothing_to_install)
    assert (raised.value.error_type, raised.value.retryable) == (ErrorType.PROJECT_NOT_FOUND, True)


@pytest.mark.parametrize(("deps", "count"), [("auto", 1), ("always", 1), ("never", 0)])
async def test_packages_are_installed_into_the_copy(tmp_path: Path, deps: str, count: int) -> None:
    location = shop(tmp_path)
    write(tmp_path / "shop", packages_DOT_yml="packages: [{package: a/b, version: 1.0.0}]")
    installed: list[Path] = []

    async def install(folder: Path) -> None:
        installed.append(folder)

    revision = content_revision(tmp_path / "shop")
    location = ProjectLocation(location.project_dir, location.profiles_dir, revision=revision)
    await Stage(tmp_path / "cache", deps).copy_of(location, install)  # type: ignore[arg-type]
    assert len(installed) == count
    assert all(tmp_path / "cache" in folder.parents for folder in installed)


async def test_runs_on_a_copy_that_is_there_do_not_wait_for_the_packages_of_another_project(tmp_path: Path) -> None:
    stage, location = Stage(tmp_path / "cache", "auto"), shop(tmp_path)
    copy = await stage.copy_of(location, nothing_to_install)
    write(tmp_path / "other", dbt_project_DOT_yml="name: other\n", packages_DOT_yml="packages: [{package: a/b}]")
    begun, forever = asyncio.Event(), asyncio.Event()

    async def install(_folder: Path) -> None:
        begun.set()
        await forever.wait()

    installing = asyncio.create_task(stage.copy_of(ProjectLocation(tmp_path / "other", tmp_path / "other"), install))
    await begun.wait()
    assert await asyncio.wait_for(stage.copy_of(location, nothing_to_install), 10) == copy
    installing.cancel()
    await asyncio.gather(installing, return_exceptions=True)


async def test_a_run_does_not_wait_until_what_is_left_of_another_one_has_ended(tmp_path: Path) -> None:
    place = write(tmp_path / "first" / "processes" / "1", events_DOT_jsonl="", nodes_DOT_json="null")
    with (place / "events.jsonl").open("ab") as events:
        left = await asyncio.create_subprocess_exec("sleep", "600", stdout=events)
    write(place, process_DOT_json=f'{{"pid": {left.pid}}}')
    courses, judge = Courses(tmp_path, 600.0, 0.0), EndingsJudge()
    first, second = (
        DbtInvocation(invocation_id=each, project="p", started_at="2026-01-01T00:00:00+00:00", input=DbtRunInput())
        for each in ("first", "second")
    )
    waiting = asyncio.create_task(courses.of(first, judge))
    await asyncio.sleep(0)
    await asyncio.wait_for(courses.of(second, judge), 10)
    assert not waiting.done()
    left.kill()
    await left.wait()
    assert [process.died for process in (await waiting).processes] == [True]


def test_the_helper_has_the_profile_of_the_project(tmp_path: Path) -> None:
    made = helper_project(tmp_path, "{{ env_var('WHICH') }}")
    assert "profile: '{{ env_var(''WHICH'') }}'" in (made / "dbt_project.yml").read_text()
    assert helper_project(tmp_path, "{{ env_var('WHICH') }}") == made
    assert helper_project(tmp_path, "other") != made


def test_old_files_of_runs_go_and_those_of_runs_that_tell_something_stay(tmp_path: Path) -> None:
    long_ago = time.time() - 3 * 24 * 3600
    for name, told in (("old", long_ago), ("long", time.time())):
        process = write(tmp_path / name / "processes" / "1", events_DOT_jsonl="", nodes_DOT_json="null")
        for path in (process / "events.jsonl", process, process.parent, tmp_path / name):
            os.utime(path, (told, told) if path.name == "events.jsonl" else (long_ago, long_ago))
    Courses(tmp_path, 1.0, 0.0).remove_old()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long"]


async def test_files_of_a_run_that_a_worker_keeps_stay_and_those_of_plans_that_another_one_has_gone_on_with_go_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, worker = EndingsJudge(), Courses(tmp_path, 1.0, 0.0)
    held, planned = (
        DbtInvocation(invocation_id=each, project="p", started_at="2026-01-01T00:00:00+00:00", input=DbtRunInput())
        for each in ("held", "planned")
    )
    await worker.of(held, judge)
    worker.keep("held")
    write(tmp_path / "held" / "processes" / "1", events_DOT_jsonl="", nodes_DOT_json="null")
    first = await worker.of(planned, judge)
    long_ago = time.time() - 3 * 24 * 3600
    for place, folders, files in os.walk(tmp_path):
        for name in (*folders, *files):
            os.utime(f"{place}/{name}", (long_ago, long_ago))
    Courses(tmp_path, 1.0, 0.0).remove_old()
    assert sorted(os.listdir(tmp_path)) == ["held", "held.lock"]
    assert await worker.of(planned, judge) is first
    with monkeypatch.context() as changed:
        changed.setattr(courses_module, "TIDY_EVERY_SECS", 0.0)
        changed.setattr(courses_module, "PLANNED_SECS", 0.0)
        await worker.of(held, judge)  # forgets what it has only planned
    assert await worker.of(planned, judge) is not first
    await worker.end("held")
    await worker.close()
    assert not {"held", "held.lock"} & set(os.listdir(tmp_path))


async def test_a_copy_counts_as_used_as_often_as_a_step_takes_it(tmp_path: Path) -> None:
    stage, location = Stage(tmp_path / "cache", "auto"), shop(tmp_path)
    await stage.copy_of(location, nothing_to_install)
    (lock,) = (name for name in os.listdir(tmp_path / "cache") if name.endswith(".lock"))
    os.utime(tmp_path / "cache" / lock, (0, 0))
    await stage.copy_of(location, nothing_to_install)
    assert os.stat(tmp_path / "cache" / lock).st_mtime > time.time() - 60


def test_the_sql_of_a_run_is_what_its_last_processes_wrote_and_names_what_ran_on_another_machine(
    tmp_path: Path,
) -> None:
    course = RunCourse(tmp_path, EndingsJudge(), cancel_secs=1.0, settle_secs=0.0)
    a, b, c, d = (f"model.p.{name}" for name in "abcd")
    for number, told in ((1, (begun(a), ended(a, "error"), begun(b), ended(b))), (2, (begun(a), ended(a)))):
        course.processes.append(process := V2Process(number, tmp_path / f"{number}", None))
        end(process, *told, completed())
    for number, node, text in ((0, "a", "old"), (0, "b", "b"), (1, "a", "new")):
        for folder in ("compiled", "run"):
            write(course.processes[number].target / folder / "p", **{f"{node}_DOT_sql": f"{folder} {text}"})
    results = [CompletedNode(result(unique_id)) for unique_id in (a, b, c, "operation.p.p-on-run-end-0")]
    results.append(CompletedNode(result(d, "skipped", attempts=0)))
    found = {name: file.read_text() for name, file in gather_sql(course, results, tmp_path / "sql").items()}
    assert found == {
        "compiled/p/a.sql": "compiled new",
        "run/p/a.sql": "run new",
        "compiled/p/b.sql": "compiled b",
        "run/p/b.sql": "run b",
        "MISSING.txt": f"{c}\n",
    }
