"""Workflow code must be deterministic, and light: nothing else watches over it, because it runs without a sandbox."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import dbt_temporal

PACKAGE = Path(dbt_temporal.__file__).parent


def modules_of_the_workflow() -> list[str]:
    """Whatever importing the workflow imports, in a process of its own."""
    workflows = ("workflow.definition", "leases.workflow")
    imports = ", ".join(f"dbt_temporal.adapters.temporal.{name}" for name in workflows)
    program = f"import sys, json, {imports}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


MODULES = modules_of_the_workflow()
OURS = [name for name in MODULES if name.startswith("dbt_temporal.")]
WORKFLOW_CODE = [Path(str(find_spec(name).origin)) for name in OURS]  # type: ignore[union-attr]
FORBIDDEN_MODULES = {"time", "random", "secrets", "uuid", "os", "threading", "socket", "subprocess", "io", "tempfile"}
FORBIDDEN_CALLS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "asyncio.wait",
    "asyncio.as_completed",
    "asyncio.to_thread",
    "asyncio.timeout",
    "open",
    "input",
    "hash",
    "id",
}
HEAVY = ("dbt", "dbt_common", "fsspec", "dependency_injector", "rich", "click", "git", "yaml", "psutil", "duckdb")


def problems_in(source: str) -> list[str]:
    """Imports and calls that workflow code must not have, and loops over sets, whose order differs by process."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FORBIDDEN_MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
            found.append(ast.unparse(node.func))
        elif isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter):
            found.append(f"a loop over a set: {ast.unparse(node.iter)}")
    return found


def _is_set(node: ast.expr) -> bool:
    called = isinstance(node, ast.Call) and ast.unparse(node.func) in ("set", "frozenset")
    return called or isinstance(node, ast.Set | ast.SetComp)


@pytest.mark.parametrize("path", WORKFLOW_CODE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_workflow_code_reads_no_clock_no_randomness_and_no_environment(path: Path) -> None:
    assert problems_in(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import environ",
        "datetime.now()",
        "for x in {a, b}: pass",
        "[x for x in set(a)]",
        "asyncio.wait(tasks)",
        "id(x)",
    ],
)
def test_the_scan_finds_what_it_looks_for(source: str) -> None:
    assert len(problems_in(source)) == 1


def test_importing_the_workflow_imports_nothing_heavy() -> None:
    loaded = {name.split(".")[0] for name in MODULES}
    assert sorted(loaded.intersection(HEAVY)) == []


def test_workflow_code_knows_only_domain_and_application() -> None:
    allowed = (
        "dbt_temporal.domain",
        "dbt_temporal.application",
        "dbt_temporal.adapters.temporal",
    )
    assert [name for name in OURS if not name.startswith(allowed)] == ["dbt_temporal.adapters"]


def test_the_scan_covers_the_run() -> None:
    assert {"definition.py", "runtime.py", "dbt_run.py", "retries.py", "shielding.py", "scheduler.py"} <= {
        path.name for path in WORKFLOW_CODE
    }
