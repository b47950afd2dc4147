"""Completion in a real bash, with a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_SECS = 30.0
NODES = {"orders_of_today": "model", "orders_of_yesterday": "model"}


class Bash:
    """An interactive bash, to which keys are sent."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=env,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def shows(self, text: str) -> None:
        """Waits until a text is on the terminal, after what was waited for before."""
        deadline = time.monotonic() + PATIENCE_SECS
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} in:\n{self.shown}"
            if select.select([self._ours], [], [], left)[0]:
                self.shown += os.read(self._ours, 65536).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "dbt_project.yml").write_text("name: the_shop\n")
    (folder / "target").mkdir()
    nodes = {name: {"name": name, "resource_type": kind, "tags": ["nightly"]} for name, kind in NODES.items()}
    (folder / "target" / "manifest.json").write_text(json.dumps({"nodes": nodes}))
    programs = str(Path(sys.executable).parent)
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
        "PS1": "ready> ",
        "INPUTRC": "/dev/null",
        "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"),
    }
    bash = Bash(folder, env)
    try:
        bash.type("bind 'set enable-bracketed-paste off'; stty cols 300\n")
        bash.type("source <(dbt-temporal completion bash); echo is'_'loaded\n")
        bash.shows("is_loaded")
        yield bash
    finally:
        bash.end()


CLEAR = "\x15"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("dbt-temporal run-op\t", "dbt-temporal run-operation "),
        ("dbt-temporal build --full\t", "--full-refresh "),
        ("dbt-temporal build --log-format=j\t", "--log-format=json "),
        ("dbt-temporal build --project the\t", "--project the_shop "),
        ("dbt-temporal build --select +orders_of_t\t", "--select +orders_of_today "),
        ("dbt-temporal build --select orders_of_today @orders_of_y\t", "@orders_of_yesterday "),
        ("dbt-temporal test -s tag:n\t", "-s tag:nightly "),
        ("dbt-temporal test --select=tag:\t", "--select=tag:nightly "),
    ],
)
def test_tab_completes_what_is_typed(bash: Bash, typed: str, completed: str) -> None:
    bash.type(CLEAR + typed)
    bash.shows(completed)


def test_completion_imports_neither_dbt_nor_temporals_sdk(bash: Bash) -> None:
    script = (
        "import sys; from dbt_temporal.entrypoints.cli.known.places import known_projects, manifests; "
        "import dbt_temporal.entrypoints.cli.main; print({'dbt', 'temporalio', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
