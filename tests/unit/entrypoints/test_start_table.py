from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.entrypoints.worker.start_table import engines_of, print_projects
from dbt_temporal.testing import ready_project


def project() -> ReadyProject:
    made = ready_project("shop", revision="0123456789abcdef")
    counts = {"model": 3, "seed": 1, "macro": 500, "snapshot": 0}
    return replace(made, loaded=replace(made.loaded, counts=counts, load_seconds=1.25))


def printed(*projects: ReadyProject, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=200, no_color=True)
    print_projects(console, projects or [project()])
    return text.getvalue()


def waiting() -> ReadyProject:
    return replace(ready_project("farm"), waits_for="the project /x/farm does not load: Parsing Error\n  Env var 'X'")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_project_that_waits_is_told_in_one_line_with_dbts_message(terminal: bool) -> None:
    *_, line = printed(project(), waiting(), terminal=terminal).splitlines()
    assert "Waiting project farm: a run must bring what is missing, or it must be mended: " in line
    assert "the project /x/farm does not load: Parsing Error Env var 'X'" in line
    assert "Projects" not in printed(waiting(), terminal=terminal)


def test_a_person_sees_a_table_of_the_projects_with_all_that_tells_them_apart() -> None:
    table = printed(terminal=True)
    for heading in ("project", "revision", "source", "adapter", "target", "nodes", "engine", "dbt", "seconds"):
        assert heading in table
    (row,) = [line for line in table.splitlines() if "shop" in line]
    loaded = project().loaded
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "shop",
        "0123456789ab",
        "/projects/shop",
        loaded.adapter_type,
        loaded.target,
        "3 models, 1 seed",
        "dbt-core",
        loaded.dbt_version,
        "1.2",
    ]


def test_engines_are_told_with_their_versions_and_what_they_have_parsed() -> None:
    lake = ready_project("lake")
    lake = replace(lake, loaded=replace(lake.loaded, engine="v2", dbt_version="2.0.0"))
    assert engines_of([lake, project(), waiting()]) == "dbt-core 1.11.0 (shop), v2 2.0.0 (lake)"
    assert engines_of([waiting()]) == ""
    row, line = printed(lake, terminal=True), printed(lake, terminal=False)
    assert "│ v2" in row
    assert "engine v2, dbt 2.0.0, " in line


def test_a_log_has_a_line_for_each_project() -> None:
    (line,) = printed(terminal=False).splitlines()
    assert line.startswith("Loaded project shop: revision 0123456789ab, source /projects/shop, adapter ")
    assert "3 models, 1 seed" in line
    assert line.endswith("engine dbt-core, dbt 1.11.0, 1.2 s")
