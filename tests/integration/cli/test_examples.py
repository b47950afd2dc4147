"""The examples do what their READMEs say, by the commands that they name."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import pytest

from tests.integration.postgres import PostgresDatabase
from tests.integration.programs import PATIENCE_SECS, ROOT, eventually
from tests.integration.servers import free_port

VENV = Path(sys.executable).parents[1]


class Examples:
    """The examples' Makefile targets, on ports and with a cache of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("TEMPORAL_PORT", "UI_PORT", "EXAMPLES_PG_PORT")}
        given = {
            name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "TEMPORAL_", "MAKE"))
        }
        self.env = {**given, "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"), "TMPDIR": str(folder)}

    @property
    def database(self) -> PostgresDatabase:
        return PostgresDatabase("127.0.0.1", self.ports["EXAMPLES_PG_PORT"], "postgres", "postgres", "examples")

    def command(self, target: str) -> list[str]:
        """`make TARGET` with the packages that the tests run with."""
        variables = {**self.ports, "VENV": VENV, "GIT_EXAMPLE": self.folder / "git"}
        words = [f"{name}={value}" for name, value in variables.items()]
        return ["make", "--directory", str(ROOT), "--old-file", f"{VENV}/.installed", target, *words]

    def make(self, target: str) -> str:
        """Makes a target that ends. Returns its output."""
        done = subprocess.run(
            self.command(target), env=self.env, capture_output=True, text=True, timeout=PATIENCE_SECS * 2, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def running(self, target: str, ready: str, env: dict[str, str] | None = None) -> Iterator[str]:
        """A target that runs until Ctrl-C, once it has said that it is ready; yields its output so far."""
        log = self.folder / f"{target}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(target),
                env={**self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            eventually(lambda: ready in log.read_text() or process.poll() is not None, log.read_text)
            assert process.poll() is None, log.read_text()
            yield log.read_text()
        finally:
            # As a terminal does: Ctrl-C reaches make and all that it started.
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(PATIENCE_SECS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    made = Examples(tmp_path_factory.mktemp("examples"))
    with made.running("services", ready="Temporal Server:"):
        yield made
    assert not _listening(made.ports["EXAMPLES_PG_PORT"]), "Ctrl-C ends PostgreSQL too"


def test_services_that_run_already_are_named_and_left_alone(examples: Examples) -> None:
    said = examples.make("services")
    assert f"PostgreSQL of the examples runs already on 127.0.0.1:{examples.ports['EXAMPLES_PG_PORT']}" in said
    assert f"A server runs already on 127.0.0.1:{examples.ports['TEMPORAL_PORT']}" in said
    assert "Nothing was started" in said
    assert _listening(examples.ports["EXAMPLES_PG_PORT"])
    assert _listening(examples.ports["TEMPORAL_PORT"])


def test_ctrl_c_ends_only_what_services_started(examples: Examples) -> None:
    other = copy(examples)
    other.ports = {**examples.ports, "TEMPORAL_PORT": free_port(), "UI_PORT": free_port()}
    with other.running("services", ready="Temporal Server:") as said:
        assert "PostgreSQL of the examples runs already" in said
    assert not _listening(other.ports["TEMPORAL_PORT"])
    assert _listening(examples.ports["EXAMPLES_PG_PORT"])


def test_a_port_that_something_else_has_is_named(examples: Examples) -> None:
    other = copy(examples)
    other.ports = {**examples.ports, "EXAMPLES_PG_PORT": examples.ports["TEMPORAL_PORT"]}
    refused = subprocess.run(other.command("services"), env=other.env, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert f"127.0.0.1:{examples.ports['TEMPORAL_PORT']} is taken by something that is no PostgreSQL" in refused.stderr
    assert _listening(examples.ports["TEMPORAL_PORT"])


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


WORKS = "Working on task queue"


def test_single_project_builds(examples: Examples) -> None:
    with examples.running("run", ready=WORKS) as started:
        assert "waffle_hut" in started
        assert "Done. PASS=" in examples.make("submit")
    assert examples.database.query("select count(*), count(distinct city) from waffle_hut.orders") == [(900, 3)]


def test_multi_project_runs_both_projects_on_one_worker(examples: Examples) -> None:
    with examples.running("run-multi", ready=WORKS) as started:
        assert "analytics" in started
        assert "marketing" in started
        assert "Done. PASS=3 " in examples.make("submit-analytics")
        assert "WARN=1 " in examples.make("submit-marketing")
    assert examples.database.query("select count(*) from analytics.stand_revenue") == [(3,)]
    assert examples.database.query("select sum(clicks) from marketing.campaign_results") == [(600,)]


def test_env_override_serves_two_cities_from_one_worker(examples: Examples) -> None:
    with examples.running("run-env", ready=WORKS):
        examples.make("submit-env")
    query = examples.database.query
    assert query("select distinct city from ghent_reports.monthly_fees") == [("Ghent",)]
    assert query("select distinct city from lille_rapports.monthly_fees") == [("Lille",)]
    for schema, reports, share in (("ghent", "ghent_reports", 0.05), ("lille", "lille_rapports", 0.08)):
        ((fee, expected),) = query(
            f"select (select sum(fee) from {reports}.monthly_fees), "
            f"(select sum(quantity * price_cents) / 100.0 * {share} from {schema}.city_orders)"
        )
        assert float(str(fee)) == pytest.approx(float(str(expected)), abs=0.1)
    assert query("select count(*) from information_schema.schemata where schema_name like 'franchise%'") == [(0,)]


def test_a_project_out_of_a_git_repository_builds(examples: Examples) -> None:
    with examples.running("run-git", ready=WORKS) as started:
        assert f"git+file://{examples.folder}/git/waffles.git#main:waffle_hut" in started
        assert "Done. PASS=" in examples.make("submit-git")
