"""The dbt command line in a process that has imported dbt already: each command is a fork of it, fresh as a new one.

It reads requests, a line of JSON each (`argv`, `cwd`, `env`, `output`), and answers each with the exit code.
Importing dbt takes 2 s, which is more than most commands on a small project do.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

_CHECKED = ("Project", "ProfileConfig", "ModelConfig", "SeedConfig", "TestConfig", "SnapshotConfig", "UnitTestConfig")


def main() -> None:
    """Serves until its input ends."""
    import dbt.adapters.duckdb
    import dbt.adapters.postgres
    import dbt.cli.main  # noqa: F401 -- so that the forks have it

    _build_schemas()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _build_schemas() -> None:
    """The JSON schemas that dbt checks projects with: the same in each process, and half a second of it."""
    from dbt.artifacts.resources.v1 import config, model, seed, snapshot
    from dbt.contracts import project
    from dbt.contracts.graph import model_config, unparsed

    for module in (project, unparsed, config, model, seed, snapshot, model_config):
        for kind in vars(module).values():
            if isinstance(kind, type) and hasattr(kind, "json_schema") and kind.__name__.endswith(_CHECKED):
                kind.json_schema()


def _run(request: dict[str, Any]) -> None:
    """One command, as the program `dbt` would carry it out; the process ends with it."""
    code = 1
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = ["dbt", *request["argv"]]
        from dbt.cli.main import cli

        cli()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
