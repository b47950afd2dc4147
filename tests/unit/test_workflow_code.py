"""Workflow code must be deterministic, and must not drag anything heavy into the sandbox."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import dbt_temporal

PACKAGE = Path(dbt_temporal.__file__).parent
TEMPORAL = PACKAGE / "adapters" / "temporal"
WORKFLOW_CODE = [
    *(TEMPORAL / name for name in ("workflow.py", "runtime.py", "publisher.py", "failures.py")),
    *(PACKAGE / "domain").glob("*.py"),
    *(
        PACKAGE / "application" / f"{name}.py"
        for name in (
            "dbt_run",
            "live_state",
            "node_steps",
            "project_hook_steps",
            "run_context",
            "run_hooks",
            "messages",
            "ports/runtime",
        )
    ),
]
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
    program = "import sys, json, dbt_temporal.adapters.temporal.workflow; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert sorted(loaded.intersection(HEAVY)) == []


def test_workflow_code_knows_only_domain_and_application() -> None:
    program = "import sys, json, dbt_temporal.adapters.temporal.workflow; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    allowed = (
        "dbt_temporal.domain",
        "dbt_temporal.application",
        "dbt_temporal.adapters.temporal",
    )
    ours = [
        name for name in json.loads(done.stdout) if name.startswith("dbt_temporal.") and not name.startswith(allowed)
    ]
    assert ours == ["dbt_temporal.adapters"] or ours == ["dbt_temporal.adapters", "dbt_temporal.adapters.temporal"]
