"""The dbt command line in a process that has imported dbt already: each command is a fork of it, fresh as a new one.

It reads requests, a line of JSON each (`argv`, `cwd`, `env`, and files for `output` and `errors`), and answers each
with the exit code.
Importing dbt takes 2 s, which is more than most commands on a small project do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.differential.warm_macros import warm_up


def started(environ: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    """Such a process, which ends with its input; `options` are those of `Popen`."""
    command = [sys.executable, "-m", "tests.differential.warm_dbt"]
    return subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def ask(
    process: subprocess.Popen[str],
    arguments: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    output: Path,
    errors: Path,
) -> int:
    """Has such a process carry out one command; its exit code.

    Args:
        process: one that was started so.
        arguments: of the command, without `dbt`.
        folder: where it is carried out.
        environ: its whole environment.
        output, errors: the files to which it appends what it prints.
    """
    files = {"output": str(output), "errors": str(errors)}
    request = {"argv": list(arguments), "cwd": str(folder), "env": dict(environ), **files}
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def main() -> None:
    """Serves until its input ends."""
    import dbt.cli.main  # noqa: F401 -- so that the forks have it

    warm_up()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(request: dict[str, Any]) -> None:
    """One command, as the program `dbt` would carry it out; the process ends with it."""
    code = 1
    try:
        for stream, name in ((1, "output"), (2, "errors")):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
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
