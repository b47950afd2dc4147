"""The program `dbt-temporal` as people start it: in processes of its own, with signals to their process group."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.integration.servers import free_port, with_kept_schemas

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "jaffle-shop"
PROJECTS = ROOT / "tests" / "projects"
PROGRAM = (sys.executable, "-m", "dbt_temporal")
PATIENCE_SECS = 240.0


def readme_program() -> str:
    """The Python program of the README, which builds examples/jaffle-shop below the current folder."""
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return str(program)


class Desk:
    """A folder with projects, databases and a cache of its own, and the environment that points there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache_dir = with_kept_schemas(folder / "cache")
        given = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "TEMPORAL_"))}
        self.env = {
            **given,
            "DBT_TEMPORAL_CACHE_DIR": str(self.cache_dir),
            "JAFFLE_SHOP_DB": str(folder / "jaffle_shop.duckdb"),
            "SLOW_DB": str(folder / "slow.duckdb"),
            "WITH_FAILURES_DB": str(folder / "with_failures.duckdb"),
        }

    def project(self, source: Path) -> Path:
        """A copy of a project."""
        return Path(shutil.copytree(source, self.folder / source.name))

    def command(self, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [*PROGRAM, *args],
            env=self.env,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECS,
            check=False,
        )

    def processes(self) -> list[str]:
        """All processes that run with this desk's environment."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("DBT_TEMPORAL_CACHE_DIR") == str(self.cache_dir)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return found


class Program:
    """A command that runs, and what it has printed so far (both streams)."""

    def __init__(self, args: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, *args],
            env={**env, "PYTHONUNBUFFERED": "1"},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def says(self, text: str) -> None:
        """Waits until the program has printed a text."""
        eventually(lambda: text in self.output or not self._reader.is_alive(), lambda: f"{text!r} in:\n{self.output}")
        assert text in self.output, self.output

    def signal(self, number: int) -> None:
        """Sends a signal to the program's process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def family(self) -> list[psutil.Process]:
        """All processes that it has started, and itself at the end."""
        program = psutil.Process(self.process.pid)
        return [*program.children(recursive=True), program]

    def ended(self) -> int:
        """Waits for the end. Returns the exit code."""
        try:
            exit_code = self.process.wait(PATIENCE_SECS)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still runs:\n{self.output}") from error
        self._reader.join(PATIENCE_SECS)
        return exit_code


def end_all(programs: Iterable[Program]) -> None:
    """Kills those that still run."""
    for program in programs:
        if program.process.poll() is None:
            program.signal(signal.SIGKILL)
            program.ended()


@contextmanager
def started(desk: Desk, *args: str) -> Iterator[Program]:
    """A command that runs while the block does; it is killed at the block's end if it has not ended."""
    program = Program(args, desk.env, desk.folder)
    try:
        yield program
    finally:
        end_all([program])


@contextmanager
def dev(desk: Desk, *args: str) -> Iterator[Program]:
    """`dbt-temporal dev` on free ports, ready for runs."""
    ports = ["--port", str(free_port()), "--ui-port", str(free_port())]
    with started(desk, "dev", *ports, *args) as program:
        yield program


def eventually(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {PATIENCE_SECS:g} seconds: {what()}")
        time.sleep(0.05)
