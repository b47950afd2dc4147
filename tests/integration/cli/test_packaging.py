"""The wheel, in clean environments with each extra alone: what it brings, and how a worker starts from it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import dbt_temporal
from tests.dockerfile import ROOT
from tests.integration.cli.installing import (
    PINS,
    built_wheel,
    done,
    installed,
    outside_environment,
    pip_for,
    wheelhouse,
)
from tests.integration.servers import free_port

pytestmark = pytest.mark.timeout(1800)  # installing takes its time on a busy machine

EXTRAS = ("", "duckdb", "postgres", "s3", "gcs", "otel", "server")
ADAPTERS = {"duckdb": "dbt-duckdb", "postgres": "dbt-postgres"}
STORES = {"s3": "s3://bucket/artifacts", "gcs": "gs://bucket/artifacts"}


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and a worker that was started there with no server to go to."""

    python: Path
    address: str
    worker: subprocess.Popen[str]

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = outside_environment(**environment)
        return subprocess.run(
            [self.python.with_name("dbt-temporal"), *args], env=env, capture_output=True, text=True, timeout=120
        )


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Installed]]:
    """By extra. The workers wait for their server while the other environments are installed."""
    folder = tmp_path_factory.mktemp("packaging")
    wheel = built_wheel(folder)
    wheels = wheelhouse(wheel, ",".join(extra for extra in EXTRAS if extra), folder / "wheels")
    ready: dict[str, Installed] = {}

    def make(extra: str) -> None:
        place = folder / (extra or "none")
        place.mkdir()
        python = installed(wheel, extra, wheels, place / "venv")
        ready[extra] = start_worker(python, extra, place)

    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(make, EXTRAS))
        yield ready
    finally:
        for environment in ready.values():
            environment.worker.kill()
            environment.worker.communicate()


def start_worker(python: Path, extra: str, place: Path) -> Installed:
    address = f"127.0.0.1:{free_port()}"
    settings = {"TEMPORAL_ADDRESS": address, "DBT_TEMPORAL_CACHE_DIR": str(place / "cache")}
    if extra in STORES:
        # The store's package is imported before the server is asked.
        settings |= {"WRITE_ARTIFACTS": "true", "ARTIFACT_STORE": STORES[extra]}
    if extra == "otel":
        # It stops the worker where a package is missing.
        settings["OTEL_TRACES_EXPORTER"] = "otlp"
    worker = subprocess.Popen(
        [python.with_name("dbt-temporal"), "worker"],
        cwd=place,
        env=outside_environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Installed(python, address, worker)


@pytest.mark.parametrize("extra", EXTRAS, ids=[extra or "none" for extra in EXTRAS])
class TestEachExtraAlone:
    def test_it_tells_our_version_dbt_s_the_adapters_and_the_sdk_s(
        self, environments: dict[str, Installed], extra: str
    ) -> None:
        pins = dict(line.split("==") for line in PINS.read_text().splitlines() if "==" in line)
        shown = dict(line.split() for line in environments[extra].run("--version").stdout.splitlines())

        adapters = {ADAPTERS[extra]: pins[ADAPTERS[extra]]} if extra in ADAPTERS else {}
        assert shown == {
            "dbt-temporal": dbt_temporal.__version__,
            "dbt-core": pins["dbt-core"],
            **adapters,
            "temporalio": pins["temporalio"],
        }

    def test_a_worker_without_its_server_says_so_and_ends_with_2(
        self, environments: dict[str, Installed], extra: str
    ) -> None:
        environment = environments[extra]
        output, _ = environment.worker.communicate(timeout=120)

        assert environment.worker.returncode == 2, output
        assert f"cannot connect to Temporal at {environment.address}" in output
        assert "Check TEMPORAL_ADDRESS" in output
        assert "Traceback" not in output

    def test_its_requirements_are_all_there(self, environments: dict[str, Installed], extra: str) -> None:
        pip_for(environments[extra].python, "check")


def test_the_license_is_in_the_wheel(environments: dict[str, Installed]) -> None:
    libraries = environments[""].python.parents[1] / "lib"
    (license_file,) = libraries.glob("python*/site-packages/dbt_temporal-*.dist-info/licenses/LICENSE")
    assert license_file.read_text() == (ROOT / "LICENSE").read_text()


def test_with_the_extra_server_there_is_a_temporal_server_to_start(environments: dict[str, Installed]) -> None:
    shown = done([str(environments["server"].python.with_name("temporal")), "--version"], cwd=ROOT)
    assert "temporal version" in shown


@pytest.mark.parametrize("store", STORES)
def test_a_store_whose_extra_is_missing_is_named_with_it(
    environments: dict[str, Installed], store: str, tmp_path: Path
) -> None:
    ended = environments[""].run("worker", ARTIFACT_STORE=STORES[store], DBT_TEMPORAL_CACHE_DIR=str(tmp_path))

    assert ended.returncode == 2
    assert f'install "dbt-temporal[{store}]"' in ended.stderr


def test_with_duckdb_alone_the_program_of_the_readme_builds_the_example(
    environments: dict[str, Installed], tmp_path: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    output = done(
        [str(environments["duckdb"].python), "-c", program],
        cwd=ROOT,
        env=outside_environment(
            JAFFLE_SHOP_DB=str(tmp_path / "jaffle_shop.duckdb"), DBT_TEMPORAL_CACHE_DIR=str(tmp_path / "cache")
        ),
    )
    assert output.splitlines()[-1].startswith("success ")
