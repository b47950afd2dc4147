"""The way to the service from a scenario's process: a pipe, and no thread or loop that a scenario could disturb."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.worker.service import Answer
from tests.integration.servers import end_with_parent

REPOSITORY = Path(__file__).parents[3]
WIND_UP_SECS = 60.0


class ServiceClient:
    """Asks for runs, one after the other. `environ` is the environment that the runs begin with."""

    def __init__(self, process: subprocess.Popen[str], log: Path, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._process = process
        self._log = log

    def run(self, project_dir: Path, profiles_dir: Path, run_input: Mapping[str, Any]) -> Answer:
        """Runs to the end of a run. Raises AssertionError, with the log's last lines, where the service has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"project_dir": str(project_dir), "profiles_dir": str(profiles_dir), "input": dict(run_input)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the service has ended: {self._log.read_text(errors='replace')[-4000:]}")
        return Answer(**json.loads(line))


@contextmanager
def running_service(folder: Path, environ: Mapping[str, str]) -> Iterator[ServiceClient]:
    """A service that keeps its files below `folder`."""
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.worker.service", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=REPOSITORY,
            env=dict(environ),
            text=True,
            preexec_fn=end_with_parent,
        )
        try:
            yield ServiceClient(process, log, environ)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(WIND_UP_SECS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
