from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from dbt_temporal.adapters.health.beat import beat, check_health
from dbt_temporal.adapters.health.readiness import Readiness
from dbt_temporal.adapters.health.server import health_server
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.worker.main import healthcheck


async def ask(port: int, path: str = "/") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


def touch_at(path: Path, instant: float) -> None:
    path.touch()
    os.utime(path, (instant, instant))


def test_a_worker_that_was_heard_of_within_60_seconds_is_healthy(tmp_path: Path) -> None:
    path = tmp_path / "health"
    touch_at(path, 1000.0)
    assert check_health(path, lambda: 1060.0)[0]
    assert check_health(path, lambda: 1061.0) == (
        False,
        f"unhealthy: {path} was last touched 61 seconds ago (limit 60)",
    )


def test_a_worker_without_a_health_file_is_not_healthy(tmp_path: Path) -> None:
    assert check_health(tmp_path / "none") == (False, f"unhealthy: there is no health file {tmp_path / 'none'}")


def test_the_healthcheck_exits_with_0_or_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "health"
    assert healthcheck({"HEALTH_FILE": str(path)}) == 1
    path.touch()
    assert healthcheck({"HEALTH_FILE": str(path)}) == 0
    assert "healthy" in capsys.readouterr().out


async def test_the_healthcheck_says_what_the_worker_has_said_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "health"
    beating = asyncio.create_task(beat(path, about="v2 2.0.0 (lake)"))
    while not (path.exists() and path.read_text()):  # noqa: ASYNC110 -- a file tells nobody that it is there
        await asyncio.sleep(0.005)
    assert healthcheck({"HEALTH_FILE": str(path)}) == 0
    assert capsys.readouterr().out.strip().endswith(" seconds ago; v2 2.0.0 (lake)")
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


async def test_the_file_is_touched_again_and_again_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "health"
    beating = asyncio.create_task(beat(path, every_secs=0.01))
    for _ in range(2):
        while not path.exists():  # noqa: ASYNC110 -- a file tells nobody that it is there
            await asyncio.sleep(0.005)
        path.unlink()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    assert not path.exists()


async def test_the_server_answers_200_while_the_beat_is_fresh_and_503_when_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "health"
    async with health_server(0, path, Readiness(), "127.0.0.1") as port:
        assert (await ask(port))[0] == 503
        path.touch()
        assert (await ask(port))[0] == 200
        touch_at(path, 1000.0)
        status, body = await ask(port)
        assert (status, body.split(":")[0]) == (503, "unhealthy")


async def test_a_taken_port_is_told_with_its_variable(tmp_path: Path) -> None:
    async with health_server(0, tmp_path / "x", Readiness(), "127.0.0.1") as port:
        taken = rf"HEALTH_PORT={port}: cannot listen there \(Address already in use\): give a free port"
        with pytest.raises(DbtTemporalError, match=taken):
            async with health_server(port, tmp_path / "x", Readiness(), "127.0.0.1"):
                pass


async def test_readiness_is_asked_at_a_path_of_its_own(tmp_path: Path) -> None:
    readiness = Readiness()
    async with health_server(0, tmp_path / "x", readiness, "127.0.0.1") as port:
        assert await ask(port, "/ready") == (503, "not ready: projects are being loaded\n")
        readiness.say(True, "the worker polls")
        assert await ask(port, "/ready?full=1") == (200, "ready: the worker polls\n")
        assert (await ask(port, "/"))[0] == 503


async def test_a_worker_is_ready_while_the_server_hears_it_and_logs_each_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    readiness = Readiness()
    answers: list[bool | Exception] = [True, True, OSError("no route"), False, TimeoutError(), True]
    seen: list[tuple[bool, str]] = []
    all_seen = asyncio.Event()

    async def polls() -> bool:
        seen.append(readiness.answer)
        if len(seen) == len(answers) + 1:
            all_seen.set()
            await asyncio.Event().wait()
        answer = answers[len(seen) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    watching = asyncio.create_task(readiness.watch(polls, every_secs=0))
    await asyncio.wait_for(all_seen.wait(), 5)
    watching.cancel()
    assert [ready for ready, _ in seen] == [False, True, True, False, False, False, True]
    assert seen[5][1] == "not ready: Temporal has not answered within 5 seconds"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "ready: the worker polls"),
        ("WARNING", "not ready: Temporal cannot be asked (OSError: no route)"),
        ("INFO", "ready: the worker polls"),
    ]


@pytest.mark.parametrize("kind", ["no", "late", "error"])
async def test_the_file_is_not_touched_while_the_worker_is_not_alive(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "health"
    asked = 0
    asked_again = asyncio.Event()

    async def alive() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            asked_again.set()
        if kind == "late":
            await asyncio.Event().wait()
        if kind == "error":
            raise OSError("broken")
        return False

    beating = asyncio.create_task(beat(path, every_secs=0.01, alive=alive, limit_secs=0.01))
    await asyncio.wait_for(asked_again.wait(), 5)
    assert not path.exists()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


@pytest.mark.parametrize("steps_of_the_loop", range(6))
async def test_a_watch_that_is_cancelled_as_an_answer_comes_ends(steps_of_the_loop: int, tmp_path: Path) -> None:
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def polls() -> bool:
        return await answer

    watching = asyncio.create_task(Readiness().watch(polls, every_secs=3600))
    beating = asyncio.create_task(beat(tmp_path / "health", every_secs=3600, alive=polls))
    await asyncio.sleep(0)
    answer.set_result(True)
    for _ in range(steps_of_the_loop):
        await asyncio.sleep(0)
    watching.cancel()
    beating.cancel()
    done, _ = await asyncio.wait([watching, beating], timeout=5)
    assert done == {watching, beating}
