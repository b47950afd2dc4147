"""An interpreter for the engine, in whose processes dbt has parsed its own macros once: `warm_template -m MODULE ...`.

Scenarios are many small projects, each of which is parsed alone. dbt's fixtures turn its caches for tests on in the
process of the scenarios; here they are turned on, and filled, in the process that all of the engine's come from.
No model is parsed: the static parser starts threads, after which a process must not be forked.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `dbt_common.tests.enable_test_caching`, and the
classes whose JSON schemas dbt builds when it first validates with them.
"""

from __future__ import annotations

import json
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_core.process import bootstrap

ADAPTERS: dict[str, dict[str, Any]] = {
    "duckdb": {"path": "never-opened.duckdb", "schema": "main"},
    "postgres": dict.fromkeys(("host", "user", "pass", "dbname", "schema"), "none") | {"port": 5432},
}


def main() -> None:
    """Fills the caches, and goes on as the module that the command line names."""
    from dbt_common.tests import enable_test_caching

    module, *arguments = sys.argv[2:]  # parsing sets it
    enable_test_caching()
    with tempfile.TemporaryDirectory() as folder:
        for adapter, credentials in ADAPTERS.items():
            _parse_empty_project(Path(folder) / adapter, {"type": adapter, **credentials})
    _build_schemas()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


def _parse_empty_project(folder: Path, target: dict[str, Any]) -> None:
    folder.mkdir()
    project = {"name": "empty", "profile": "empty", "flags": {"send_anonymous_usage_stats": False}}
    profiles = {"empty": {"target": "only", "outputs": {"only": target}}}
    # JSON is YAML.
    (folder / "dbt_project.yml").write_text(json.dumps(project))
    (folder / "profiles.yml").write_text(json.dumps(profiles))
    settings = bootstrap.Settings(str(folder), str(folder), None, {}, str(folder / "target"))
    bootstrap.load(settings, lambda _: None, lambda _: None)


def _build_schemas() -> None:
    from dbt.artifacts.resources import NodeConfig, SeedConfig, SnapshotConfig, TestConfig

    for config in (NodeConfig, SeedConfig, SnapshotConfig, TestConfig):
        config.json_schema()


if __name__ == "__main__":
    main()
