"""The image without Docker: the Dockerfile's build steps in a clean folder, then what the compose file describes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dockerfile import ROOT, assignments, exec_form, stages, values
from tests.integration.cli.installing import done, outside_environment
from tests.integration.postgres import PostgresDatabase
from tests.integration.programs import eventually
from tests.integration.servers import free_port, temporal_binary

pytestmark = pytest.mark.timeout(1800)  # installing takes its time on a busy machine

BUILD, IMAGE = stages()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text())
END_SECS = 120.0


class Image:
    """What the build stage has made, and the container's folders below one of ours."""

    def __init__(self, folder: Path) -> None:
        self.prefix = folder / "prefix"
        self.tmp = folder / "tmp"
        self.places = {
            assignments(BUILD, "ARG")["PREFIX"]: str(self.prefix),
            "/tmp": str(self.tmp),
            "/artifacts": str(folder / "artifacts"),
            "/projects": str(ROOT / "examples"),
        }
        for place in (self.tmp, folder / "artifacts"):
            place.mkdir()

    def build(self, context: Path) -> None:
        """Carries out COPY and RUN of the build stage, in a folder in place of its WORKDIR."""
        environment = outside_environment(**assignments(BUILD, "ENV"), **assignments(BUILD, "ARG"))
        environment["PREFIX"] = str(self.prefix)
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        for instruction, value in BUILD:
            if instruction == "COPY":
                *sources, target = value.split()
                for source in sources:
                    copy(ROOT / source, context / target / ("" if (ROOT / source).is_dir() else source))
            elif instruction == "RUN":
                done(["/bin/sh", "-c", value], cwd=context, env=environment)

    def environment(self, **more: str) -> dict[str, str]:
        """The image's environment, then the container's, with our places in them."""
        given = {**assignments(IMAGE, "ENV"), **more}
        return outside_environment(**{name: self.place(value) for name, value in given.items()})

    def place(self, value: str) -> str:
        """A path of the container as one of ours."""
        for theirs, ours in self.places.items():
            if value == theirs or value.startswith(f"{theirs}/"):
                return ours + value.removeprefix(theirs)
        return value.replace("/opt/dbt-temporal/bin:$PATH", f"{self.prefix}/bin:/usr/bin:/bin")

    def command(self, *words: str) -> list[str]:
        """A command by the entrypoint, without the init process that stands before it."""
        tini, dashes, program = exec_form(values(IMAGE, "ENTRYPOINT")[0])
        assert (tini, dashes) == ("tini", "--")
        return [str(self.prefix / "bin" / program), *words]

    def files(self) -> dict[Path, float]:
        """What is installed, with the times of changes."""
        return {path: path.lstat().st_mtime for path in self.prefix.rglob("*")}


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    built = Image(folder)
    context = folder / "src"
    context.mkdir()
    built.build(context)
    shutil.rmtree(context)  # the image has no sources
    return built


@contextmanager
def temporal_of_the_compose_file() -> Iterator[str]:
    """A server by the compose file's own command, on other ports. Yields its `host:port`."""
    port = free_port()
    command = [str(temporal_binary()), *COMPOSE["services"]["temporal"]["command"], "--port", str(port)]
    ports = ["--ui-port", str(free_port()), "--http-port", str(free_port()), "--metrics-port", str(free_port())]
    server = subprocess.Popen([*command, *ports], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, *health = COMPOSE["services"]["temporal"]["healthcheck"]["test"]
    asked = [str(temporal_binary()), *health[1:], "--address", f"127.0.0.1:{port}"]
    try:
        eventually(lambda: subprocess.run(asked, capture_output=True).returncode == 0, lambda: " ".join(asked))
        yield f"127.0.0.1:{port}"
    finally:
        ended(server, signal.SIGINT)


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Ends a process by a signal, or by force where that takes too long. Returns its exit code."""
    process.send_signal(number)
    try:
        return process.wait(END_SECS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def test_what_is_installed_starts_and_is_compiled(image: Image) -> None:
    environment = image.environment()
    shown = done(image.command("--version"), cwd=image.tmp, env=environment)
    for name in ("dbt-temporal", "dbt-core", "dbt-duckdb", "dbt-postgres", "temporalio"):
        assert name in shown

    libraries = image.prefix / "lib"
    (module,) = libraries.glob("python*/site-packages/dbt/task/runnable.py")
    assert list((module.parent / "__pycache__").glob("runnable.*.pyc"))


def test_the_parts_of_the_compose_file_do_a_run_together(image: Image, postgres: PostgresDatabase) -> None:
    installed_files = image.files()
    worker = COMPOSE["services"]["worker"]
    warehouse = {
        "WAREHOUSE_HOST": postgres.host,
        "WAREHOUSE_PORT": str(postgres.port),
        "WAREHOUSE_USER": postgres.user,
        "WAREHOUSE_PASSWORD": postgres.password,
        "WAREHOUSE_DBNAME": postgres.dbname,
    }
    assert set(warehouse) <= set(worker["environment"])
    healthcheck = exec_form(values(IMAGE, "HEALTHCHECK")[0].partition("CMD ")[2])

    with temporal_of_the_compose_file() as address:
        environment = image.environment(**{**worker["environment"], **warehouse})
        environment["TEMPORAL_ADDRESS"] = address

        def healthy() -> bool:
            command = image.command(*healthcheck[1:])
            return subprocess.run(command, env=environment, capture_output=True).returncode == 0

        assert not healthy()
        command = image.command(*exec_form(values(IMAGE, "CMD")[0]))
        log = image.tmp / "worker.log"
        with log.open("w") as output:
            running = subprocess.Popen(command, env=environment, cwd=image.tmp, stdout=output, stderr=output)
        try:
            # The check takes a core for as long as it runs, which the worker needs to start.
            touched = Path(environment["HEALTH_FILE"])
            eventually(lambda: (touched.exists() and healthy()) or running.poll() is not None, log.read_text)
            assert running.poll() is None, log.read_text()
            summary = done(image.command("build"), cwd=image.tmp, env=environment)
            assert "PASS=10" in summary
            assert "ERROR=0" in summary
        finally:
            exit_code = ended(running, signal.SIGTERM)
    assert exit_code == 0, log.read_text()
    assert postgres.query("select sum(orders) from analytics.daily_sales") == [(6,)]
    beside = ("latest", "newest", "parses", "reports")
    (artifacts,) = (path for path in Path(image.place("/artifacts")).iterdir() if path.name not in beside)
    assert {"run_results.json", "manifest.json", "log.txt"} <= {path.name for path in artifacts.iterdir()}
    # As on a read-only file system.
    assert image.files() == installed_files
    assert not (ROOT / "examples" / "postgres-shop" / "target").exists()
