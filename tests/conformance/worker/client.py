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
    """Asks for runs, one after the other. `environ` is the environment that the runs begin with.

    Whoever stops waiting for an answer ends the service, as the next one would get that answer; it starts again.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._folder = folder
        self._log = folder / "service.log"
        self._process: subprocess.Popen[str] | None = None

    def run(self, project_dir: Path, profiles_dir: Path, run_input: Mapping[str, Any]) -> Answer:
        """Runs to the end of a run. Raises AssertionError, with the log's last lines, where the service has ended."""
        request = {"project_dir": str(project_dir), "profiles_dir": str(profiles_dir), "input": dict(run_input)}
        try:
            line = self._ask(json.dumps(request))
        except BaseException:
            self._kill()
            raise
        if not line:
            self._kill()
            raise AssertionError(f"the service has ended: {self._log.read_text(errors='replace')[-4000:]}")
        return Answer(**json.loads(line))

    def close(self) -> None:
        """Ends the service in good order."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(WIND_UP_SECS)
        except subprocess.TimeoutExpired:
            self._kill()

    def _ask(self, request: str) -> str:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request + "\n")
        process.stdin.flush()
        return process.stdout.readline()

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.conformance.worker.service", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=REPOSITORY,
                env=dict(self.environ),
                text=True,
                preexec_fn=end_with_parent,
            )

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_service(folder: Path, environ: Mapping[str, str]) -> Iterator[ServiceClient]:
    """A service that keeps its files below `folder`, from the first request on."""
    client = ServiceClient(folder, environ)
    try:
        yield client
    finally:
        client.close()
