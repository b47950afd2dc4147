"""dbt-temporal-client in an environment of its own: what it brings, and that it does its work there without dbt."""

from __future__ import annotations

import asyncio
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import dbt_temporal
from dbt_temporal.testing import node, plan
from tests.dockerfile import ROOT
from tests.integration.cli.installing import built_wheel, done, installed, outside_environment, pip_for, wheelhouse
from tests.integration.run_harness import RunHarness
from tests.unit.repository.doc_pages import Page

pytestmark = pytest.mark.timeout(1800)  # installing takes its time on a busy machine

WITH_DBT = ("DbtInProcess", "run_dbt")
NAMES = [name for name in dbt_temporal.__all__ if name not in WITH_DBT]


@dataclass(frozen=True)
class Environment:
    """A clean environment, and the wheel that is installed there."""

    python: Path
    wheel: Path

    def run(self, program: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-c", program],
            cwd=self.wheel.parent,
            env=outside_environment(**environ),
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("client")
    wheel = built_wheel(folder, ROOT / "client")
    wheels = wheelhouse(wheel, "", folder / "wheels")
    return Environment(installed(wheel, "", wheels, folder / "venv"), wheel)


def test_it_brings_pydantic_and_temporalio_with_what_they_need_and_nothing_else(clean: Environment) -> None:
    program = "import importlib.metadata as m; print(*sorted({d.name.lower() for d in m.distributions()}))"
    names = set(clean.run(program).stdout.split())
    assert names == {
        "annotated-types",
        "dbt-temporal-client",
        "nexus-rpc",
        "protobuf",
        "pydantic",
        "pydantic_core",
        "temporalio",
        "types-protobuf",
        "typing-inspection",
        "typing_extensions",
    }
    pip_for(clean.python, "check")


def test_it_has_the_version_and_the_license_of_the_whole(clean: Environment) -> None:
    program = (
        "import dbt_temporal as d, importlib.metadata as m; print(d.__version__, m.version('dbt-temporal-client'))"
    )
    assert set(clean.run(program).stdout.split()) == {dbt_temporal.__version__}
    with zipfile.ZipFile(clean.wheel) as wheel:
        (license_file,) = (name for name in wheel.namelist() if name.endswith("/LICENSE"))
        assert wheel.read(license_file) == (ROOT / "LICENSE").read_bytes()


def test_its_files_are_those_of_the_whole(clean: Environment, tmp_path: Path) -> None:
    # Who has installed both by mistake has no mixture of two.
    contents = []
    for path in (clean.wheel, built_wheel(tmp_path)):
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.startswith("dbt_temporal/")]
            contents.append({name: wheel.read(name) for name in names})
    assert contents[0] == contents[1]


def test_every_public_name_is_there_but_runs_in_process(clean: Environment) -> None:
    imported = clean.run(f"from dbt_temporal import {', '.join(NAMES)}")
    assert imported.returncode == 0, imported.stderr
    for name in WITH_DBT:
        refused = clean.run(f"from dbt_temporal import {name}")
        assert refused.returncode == 1
        assert f"dbt_temporal.{name} needs the package " in refused.stderr
        assert "install dbt-temporal, not its client alone" in refused.stderr


def test_a_star_brings_all_of_them(clean: Environment) -> None:
    imported = clean.run("from dbt_temporal import *; print(*dir())")
    assert imported.returncode == 0, imported.stderr
    assert {name for name in dbt_temporal.__all__ if name in imported.stdout.split()} == set(NAMES)


async def test_it_follows_a_run_to_its_end(clean: Environment, runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    await runs.start_worker()
    (program,) = Page("docs/embedding.md").blocks("python", "client")
    ended = await asyncio.to_thread(
        clean.run,
        program,
        TEMPORAL_ADDRESS=runs.client.service_client.config.target_host,
        TEMPORAL_TASK_QUEUE=runs.task_queue,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("succeeded: 2 nodes")


def test_keys_without_the_package_that_encrypts_are_told_with_the_extra(clean: Environment) -> None:
    key = done([str(clean.python), "-c", "import base64; print(base64.b64encode(bytes(32)).decode())"], cwd=ROOT)
    program = "import asyncio; from dbt_temporal import DbtClient; asyncio.run(DbtClient.connect())"
    refused = clean.run(program, TEMPORAL_CODEC_KEYS=f"first:{key.strip()}")
    assert refused.returncode == 1
    assert 'TEMPORAL_CODEC_KEYS needs the package cryptography: install "dbt-temporal-client[encryption]"' in (
        refused.stderr
    )
