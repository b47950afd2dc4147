"""What `import dbt_temporal` offers, and what asking for it costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import dbt_temporal

OF_TEMPORALIO = {"google", "grpc", "nexusrpc", "temporalio", "typing_extensions"}
OF_PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_inspection"}
FOR_PROGRAMS_WITH_DBT = {"DbtInProcess", "run_dbt"}
STUBS = Path(dbt_temporal.__file__).with_suffix(".pyi")


def packages_loaded_by(program: str) -> set[str]:
    """Which packages of others a program imports, in a process of its own."""
    script = f"import json, sys\n{program}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(done.stdout)
    names = {name.split(".")[0] for name in modules}
    # What an installation starts with (.pth files), and what compiled packages put beside themselves.
    started = {"_distutils_hack", "cython_runtime", "dbt_temporal"}
    return {
        name
        for name in names - set(sys.stdlib_module_names) - started
        if not name.startswith(("__", "_cython", "_sysconfigdata"))
    }


@pytest.mark.parametrize("name", [name for name in dbt_temporal.__all__ if name != "__version__"])
def test_each_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(dbt_temporal, name).__doc__


def test_type_checkers_are_told_the_same_names() -> None:
    (told,) = (
        ast.literal_eval(statement.value)
        for statement in ast.parse(STUBS.read_text()).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
    )
    assert sorted(told) == sorted(dbt_temporal.__all__)


@pytest.mark.parametrize("has_dbt", [True, False], ids=["with dbt", "the client alone"])
def test_all_names_that_can_be_imported_come_by_a_star(has_dbt: bool) -> None:
    module = "dbt_temporal.entrypoints.embedding.in_process"
    alone = "" if has_dbt else f"sys.modules[{module!r}] = None; "
    program = f"import sys; {alone}from dbt_temporal import *; print(*sorted(name for name in dir() if name != 'sys'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    told = {name for name in done.stdout.split() if not name.startswith("__") or name == "__version__"}
    assert told == set(dbt_temporal.__all__) - (set() if has_dbt else FOR_PROGRAMS_WITH_DBT)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dbt_temporal' has no attribute 'plugins'"):
        getattr(dbt_temporal, "plugins")  # noqa: B009 -- no type checker knows it


def test_the_models_need_pydantic_alone() -> None:
    assert packages_loaded_by("from dbt_temporal import DbtRunInput, DbtRunOutput") <= OF_PYDANTIC | {
        "typing_extensions"
    }


def test_the_client_and_child_workflows_need_pydantic_and_temporalio_alone() -> None:
    names = [name for name in dbt_temporal.__all__ if name not in FOR_PROGRAMS_WITH_DBT]
    loaded = packages_loaded_by(f"from dbt_temporal import {', '.join(names)}")
    assert {"temporalio", "pydantic"} <= loaded
    assert loaded - OF_PYDANTIC - OF_TEMPORALIO == set()


def test_running_dbt_in_ones_own_process_does_not_import_dbt_into_it() -> None:
    assert {"dbt", "dbt_common"} & packages_loaded_by("from dbt_temporal import run_dbt") == set()
