"""Parses the macros that come with dbt once, for all processes that are forked from this one.

Most of what a fresh process does on a small project is that. dbt has caches for it, which its own tests use; the parsed
macros are only read. As a program, it stands for the interpreter of the engine: `warm_macros -m MODULE ...`.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `enable_test_caching`, `extract_toplevel_blocks`,
`parse`, `statically_extract_macro_calls`, and the classes of which dbt builds JSON schemas.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from pathlib import Path

_KINDS = {"macro", "materialization", "test", "data_test"}
_CHECKED = ("Project", "ProfileConfig", "ModelConfig", "SeedConfig", "TestConfig", "SnapshotConfig", "UnitTestConfig")


def warm_up() -> None:
    """Fills the caches of this process."""
    import dbt.adapters.duckdb
    import dbt.adapters.postgres
    import dbt.include.global_project
    from dbt.clients.jinja_static import statically_extract_macro_calls
    from dbt_common.clients import jinja
    from dbt_common.tests import enable_test_caching

    enable_test_caching()
    folders = [Path(dbt.include.global_project.PACKAGE_PATH)]
    folders += [Path(adapter.Plugin.include_path) for adapter in (dbt.adapters.duckdb, dbt.adapters.postgres)]
    for folder in folders:
        for file in folder.rglob("*.sql"):
            text = file.read_text(encoding="utf-8").strip()
            for block in jinja.extract_toplevel_blocks(text, allowed_blocks=_KINDS, collect_raw_data=False):
                jinja.parse(block.full_block)
                with contextlib.suppress(Exception):  # it wants a context, but only after it has parsed
                    statically_extract_macro_calls(block.full_block, {})
    _build_schemas()


def _build_schemas() -> None:
    from dbt.artifacts.resources.v1 import config, model, seed, snapshot
    from dbt.contracts import project
    from dbt.contracts.graph import model_config, unparsed

    for module in (project, unparsed, config, model, seed, snapshot, model_config):
        for kind in vars(module).values():
            if isinstance(kind, type) and hasattr(kind, "json_schema") and kind.__name__.endswith(_CHECKED):
                kind.json_schema()


def interpreter(folder: Path) -> Path:
    """A command that stands for this interpreter, with warm caches. It works in the repository's folder."""
    path = folder / "warm-python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.differential.warm_macros "$@"\n')
    path.chmod(0o755)
    return path


def main() -> None:
    """Fills the caches, and goes on as the module that the command line names."""
    warm_up()
    module = sys.argv[2]
    sys.argv[:] = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
