"""`dbt-temporal dev`: it starts all that is needed, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.integration.programs import EXAMPLE, PROJECTS, Desk, dev, eventually, started
from tests.integration.servers import free_port


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def nothing_is_left(desk: Desk) -> None:
    eventually(lambda: not desk.processes(), lambda: f"no process is left: {desk.processes()}")
    assert not list((desk.cache_dir / "dev").glob("*.json"))
    assert not list((desk.cache_dir / "dev").glob("*.ready"))


def test_a_command_is_run_and_everything_ends_with_its_exit_code(desk: Desk) -> None:
    project = desk.project(EXAMPLE)
    with dev(desk, "--project-dir", str(project), "--run", "build --select raw_products stg_products") as program:
        assert program.ended() == 0, program.output
    assert "Done. PASS=" in program.output
    assert f"Artifacts       {desk.cache_dir}" in program.output
    nothing_is_left(desk)
    assert not (project / "target").exists()
    assert not (project / "logs").exists()


def test_a_project_that_does_not_parse_ends_the_command_with_dbts_error(desk: Desk) -> None:
    project = desk.project(PROJECTS / "broken" / "parse_error")
    with dev(desk, "--project-dir", str(project), "--run", "build") as program:
        assert program.ended() == 2, program.output
    assert "depends on a node named" in program.output
    nothing_is_left(desk)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_all_of_it(desk: Desk, number: int) -> None:
    with dev(desk, "--project-dir", str(desk.project(PROJECTS / "slow"))) as program:
        program.says("Ctrl-C ends all of it.")
        assert len(desk.processes()) >= 3
        program.signal(number)
        assert program.ended() == 0, program.output
    nothing_is_left(desk)


def test_a_signal_while_all_starts_ends_what_has_started(desk: Desk) -> None:
    with dev(desk, "--project-dir", str(desk.project(PROJECTS / "slow"))) as program:
        program.says("Loading the project")
        program.signal(signal.SIGINT)
        assert program.ended() == 0, program.output
    nothing_is_left(desk)


def test_ctrl_c_while_the_command_runs_cancels_its_run_and_ends_all(desk: Desk) -> None:
    command = "run --vars '{seconds: 60}'"
    with dev(desk, "--project-dir", str(desk.project(PROJECTS / "slow")), "--run", command, "--keep") as program:
        program.says("2 of 3 START")
        program.signal(signal.SIGINT)
        assert program.ended() == 2, program.output
    assert "[CANCELLED]" in program.output
    nothing_is_left(desk)


def test_with_keep_it_stays_until_ctrl_c_and_ends_with_the_commands_exit_code(desk: Desk) -> None:
    project, database = desk.project(PROJECTS / "slow"), desk.folder / "temporal.db"
    args = ["--project-dir", str(project), "--db-file", str(database), "--run", "run --select nonsense:x", "--keep"]
    # The second time the server finds its state, with the search attributes in it.
    for _ in range(2):
        with dev(desk, *args) as program:
            program.says("Staying until Ctrl-C")
            program.signal(signal.SIGINT)
            assert program.ended() == 2, program.output
        assert "'nonsense' is not a valid method name" in program.output
    assert database.stat().st_size > 0
    nothing_is_left(desk)


def test_children_do_not_outlive_a_dev_that_is_killed(desk: Desk) -> None:
    with dev(desk, "--project-dir", str(desk.project(PROJECTS / "slow"))) as program:
        program.says("Ctrl-C ends all of it.")
        program.process.kill()
        program.process.wait()
        eventually(lambda: not desk.processes(), lambda: f"no process is left: {desk.processes()}")


def test_taken_ports_give_way_to_free_ones_which_are_told(desk: Desk) -> None:
    with socket.socket() as usual, socket.socket() as usual_ui:
        for taken, port in ((usual, 7233), (usual_ui, 8233)):
            # Somebody else's server may hold it: then it is taken as well.
            with suppress(OSError):
                taken.bind(("127.0.0.1", port))
                taken.listen()
        with started(desk, "dev", "--project-dir", str(desk.project(PROJECTS / "slow"))) as program:
            program.says("Ctrl-C ends all of it.")
            assert "Port 7233 is taken: using" in program.output
            assert "Port 8233 is taken: using" in program.output
            # Commands find it nevertheless.
            result = desk.command("run", "--select", "before")
            assert result.returncode == 0, result.stdout + result.stderr
            program.signal(signal.SIGTERM)
            assert program.ended() == 0
    nothing_is_left(desk)


def workers(desk: Desk) -> list[int]:
    """The ids of the worker processes."""
    found = [int(line.split()[0]) for line in desk.processes() if line.endswith("-m dbt_temporal worker")]
    # A child has its parent's command line until it has become another program.
    return [pid for pid in found if parent(pid) not in (None, *found)]


def parent(pid: int) -> int | None:
    """The parent of a process; None where the process has ended."""
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def test_edited_files_are_those_of_the_next_run_and_errors_in_them_told(desk: Desk) -> None:
    project = desk.project(PROJECTS / "slow")
    added = project / "models" / "added.sql"
    with dev(desk, "--project-dir", str(project)) as program:
        program.says("Ctrl-C ends all of it.")
        first = workers(desk)
        added.write_text("select {{ ref('nowhere') }}")
        result = desk.command("run", "--select", "added")
        assert result.returncode == 2, result.stdout + result.stderr
        assert "models/added.sql) depends on a node named 'nowhere'" in result.stdout
        program.says("  Edited: models/added.sql (new). The next run reads it.")
        (project / "README.md").write_text("dbt does not read it")
        added.write_text("select 1 as id")
        (project / "package").mkdir()
        (project / "package" / "dbt_project.yml").write_text("name: package\nversion: '1.0'\nconfig-version: 2\n")
        (project / "package" / "macros").mkdir()
        (project / "package" / "macros" / "one.sql").write_text("{% macro one() %}1{% endmacro %}")
        (project / "packages.yml").write_text("packages: [{local: package}]")
        added.write_text("select {{ package.one() }} as id")
        result = desk.command("run", "--select", "added")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "PASS=1" in result.stdout.splitlines()[-1]
        assert workers(desk) == first
        program.says("and 1 more. The next run reads it.")
        assert "README" not in program.output
        program.signal(signal.SIGINT)
        assert program.ended() == 0
    nothing_is_left(desk)


def test_an_edit_does_not_disturb_the_run_under_way(desk: Desk) -> None:
    project = desk.project(PROJECTS / "slow")
    with dev(desk, "--project-dir", str(project)) as program:
        program.says("Ctrl-C ends all of it.")
        with started(desk, "run", "--vars", "{seconds: 5}") as run:
            run.says("2 of 3 START")
            (project / "models" / "after.sql").write_text("select {{ ref('nowhere') }}")
            assert run.ended() == 0, run.output
        assert "PASS=3" in run.output
        assert desk.command("run", "--select", "before").returncode == 2
        program.signal(signal.SIGINT)
        assert program.ended() == 0
    nothing_is_left(desk)


def test_a_project_that_does_not_load_is_loaded_when_it_is_mended_and_a_worker_that_dies_comes_back(desk: Desk) -> None:
    project = desk.project(PROJECTS / "broken" / "parse_error")
    port = free_port()
    desk.env["HEALTH_PORT"] = str(port)
    with dev(desk, "--project-dir", str(project)) as program:
        program.says("The project does not load; waiting for a change of its files.")
        assert "depends on a node named 'a_model_that_does_not_exist'" in program.output
        (project / "models" / "lost.sql").write_text("select 1 as id")
        program.says("Edited: models/lost.sql. Loading the project again ...")
        program.says("The worker is ready.")
        assert desk.command("run").returncode == 0
        (worker,) = workers(desk)
        os.kill(worker, signal.SIGKILL)
        program.says("The worker has ended by itself (exit code -9); starting it again.")
        eventually(lambda: program.output.count("The worker is ready.") == 2, lambda: program.output)
        with urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 200
        assert desk.command("run").returncode == 0
        program.signal(signal.SIGINT)
        assert program.ended() == 0
    nothing_is_left(desk)


def test_a_server_that_dies_ends_all_and_its_log_is_named(desk: Desk) -> None:
    project = desk.project(PROJECTS / "slow")
    with dev(desk, "--project-dir", str(project)) as program:
        program.says("Ctrl-C ends all of it.")
        assert desk.command("run", "--select", "before", "--workflow-id", "calm").returncode == 0
        program.says(" calm has ended\n")
        (server,) = [each for each in program.family() if "start-dev" in each.cmdline()]
        server.kill()
        assert program.ended() == 2
    (log,) = (desk.cache_dir / "dev").glob("server-*.log")
    assert f"The Temporal server has ended by itself (exit code -9). Its log may say why: {log}\n" in program.output
    nothing_is_left(desk)


def test_the_server_that_the_address_names_is_used(desk: Desk, temporal_address: str, task_queue: str) -> None:
    desk.env |= {"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_TASK_QUEUE": task_queue}
    project = desk.project(PROJECTS / "slow")
    with started(desk, "dev", "--project-dir", str(project), "--run", "run --select before") as program:
        assert program.ended() == 0, program.output
    assert temporal_address in program.output
    assert not list((desk.cache_dir / "dev").glob("server-*"))
    nothing_is_left(desk)
