"""One process of dbt v2, whose events are read from a file: dbt panics where it cannot write them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import orjson

from dbt_temporal.adapters.dbt_v2.processes.events import KNOWN_LOG_VERSION, read_event
from dbt_temporal.adapters.dbt_v2.processes.told import BAD, ProcessTold, Told
from dbt_temporal.adapters.parent_death import die_with_parent
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

LOOK_SECS = 0.02
"""How often the file of events is looked at."""
EVENTS, _ERRORS, _NODES, _PROCESS, _TARGET = "events.jsonl", "stderr.txt", "nodes.json", "process.json", "target"
_TAIL_BYTES = 4000


def _die_gently() -> None:
    """dbt ends its statements in the database at this signal."""
    die_with_parent(signal.SIGINT)


class V2Process:
    """A process, or what is left of one.

    Attributes:
        number: which of its run's it is, from 1.
        folder: where its files are.
        nodes: those that it was started for; None where it has the run's whole selection.
        told: what it has told.
        interrupted: whether it was ended before its time, to end what it ran.
        silence_secs: it is ended by others when its worker stands still for so long.
        was_locked_out: whether another process had the database, when it was tried before.
        session: what its sessions in the database are called; empty where the database does not know.
        sessions_ended: whether what it has left in the database, if it died, is known to have ended.
        ended: set when it has ended, and all that it told is known.
    """

    def __init__(self, number: int, folder: Path, nodes: frozenset[str] | None) -> None:
        self.number = number
        self.folder = folder
        self.nodes = nodes
        self.told = ProcessTold()
        self.interrupted = False
        self.was_locked_out = False
        self.session = ""
        self.sessions_ended = False
        self.ended = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None
        self.has_ended: Callable[[], None] = lambda: None
        self.return_code: int | None = None
        self.silence_secs = float("inf")
        self._process: asyncio.subprocess.Process | None = None
        self._follower: asyncio.Task[None] | None = None
        self._rest = b""

    @property
    def target(self) -> Path:
        """Where it writes its artifacts."""
        return self.folder / _TARGET

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def died(self) -> bool:
        """Whether it has ended without having come to its end."""
        return self.ended.is_set() and not self.told.completed

    def has(self, unique_id: str) -> bool:
        """Whether it was started for a node, among others."""
        return self.nodes is None or unique_id in self.nodes

    def has_finished(self, unique_id: str) -> bool:
        """Whether dbt has said how a node ended. A node whose statement was cancelled has not ended by itself."""
        told = self.told.nodes.get(unique_id)
        return told is not None and told.finished and not told.cancelled

    @property
    def failed(self) -> list[Told]:
        """The nodes that have failed by themselves."""
        return [told for told in self.told.nodes.values() if told.status in BAD and not told.cancelled]

    async def start(self, arguments: Sequence[str | Path], environ: Mapping[str, str], current_dir: Path) -> None:
        """Starts it; `arguments` begin with the program.

        Raises:
            DbtTemporalError: of type Configuration, where the program does not start.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        nodes = None if self.nodes is None else sorted(self.nodes)
        (self.folder / _NODES).write_bytes(orjson.dumps(nodes))
        with (self.folder / EVENTS).open("wb") as events, (self.folder / _ERRORS).open("wb") as errors:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *arguments,
                    cwd=current_dir,
                    env=dict(environ),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=events,
                    stderr=errors,
                    start_new_session=True,
                    preexec_fn=_die_gently,
                )
            except OSError as error:
                raise configuration_error(f"the program of dbt v2 does not start: {error}") from error
        (self.folder / _PROCESS).write_bytes(orjson.dumps({"pid": self._process.pid}))
        self._follower = asyncio.create_task(self._follow(self._process))

    async def read_what_is_left(self, within_secs: float) -> None:
        """Takes in what a process told whose worker is gone. It ends with its worker; where it does not within that
        time, by force."""
        deadline = asyncio.get_running_loop().time() + within_secs
        while (pid := pid_of_living(self.folder)) is not None:
            if asyncio.get_running_loop().time() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(LOOK_SECS)
        await asyncio.to_thread(self._hear_all, last=True)  # of a large run, a hundred megabytes
        # As it had its worker's end as a signal, if it has not come to its end by a failure.
        was_cancelled = any(told.cancelled for told in self.told.nodes.values())
        self.interrupted = self.told.completed and was_cancelled and not self.failed
        self.ended.set()

    def interrupt(self) -> None:
        """Has it end its statements in the database and then itself."""
        if not self.interrupted:  # a second signal would have it end at once
            self.interrupted = True
            self._signal(signal.SIGINT)

    async def end(self, within_secs: float) -> None:
        """Ends it, by force where it does not end within that time. What it told is known then."""
        if self.ended.is_set():
            return
        self.interrupt()
        try:
            async with asyncio.timeout(within_secs):
                await self.ended.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.ended.wait()

    def last_words(self) -> str:
        """What it said last outside of events, for messages."""
        with contextlib.suppress(OSError), (self.folder / _ERRORS).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
        return ""

    def why_died(self) -> str:
        """How it ended, where it has not come to its end."""
        code = self.return_code
        how = "" if code is None else f" (signal {-code})" if code < 0 else f" (exit code {code})"
        return "\n".join(filter(None, [f"the process of dbt v2 ended before its end{how}", self.last_words()]))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        waiting, stood_still = asyncio.ensure_future(process.wait()), False
        try:
            with (self.folder / EVENTS).open("rb") as file:
                over, looked_at = False, time.monotonic()
                while not over:
                    over, before, looked_at = waiting.done(), looked_at, time.monotonic()
                    # This worker has stood still, and nobody knows whether it was for too long.
                    stood_still = stood_still or looked_at - before > self.silence_secs / 2
                    if self._hear(file.read()):
                        self.changed()
                    if not over:
                        await asyncio.wait({waiting}, timeout=LOOK_SECS)
        finally:
            self.return_code = process.returncode
            self.has_ended()
            self._hear(b"\n")
            self.interrupted = self.interrupted or stood_still
            self.ended.set()
            self.changed()

    def _hear_all(self, *, last: bool) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._hear((self.folder / EVENTS).read_bytes())
        if last:
            self._hear(b"\n")

    def _hear(self, more: bytes) -> bool:
        *lines, self._rest = (self._rest + more).split(b"\n")
        for line in lines:
            event = read_event(line) if line else None
            if event is not None:
                self.told.hear(event)
        return bool(lines)

    def refuse_unknown_events(self) -> None:
        """Raises Configuration where the program's events are of a version that is not known here."""
        if self.told.log_version != KNOWN_LOG_VERSION:
            raise configuration_error(
                f"this version of dbt v2 logs in version {self.told.log_version}, and only {KNOWN_LOG_VERSION} is "
                "known here: install a version that docs/engines.md names"
            )

    def lost(self, unique_id: str) -> DbtTemporalError:
        """The error of a node that ran in it when it died."""
        return DbtTemporalError(ErrorType.ENGINE_CRASHED, f"{unique_id}: {self.why_died()}")


def left_processes(folder: Path) -> list[V2Process]:
    """The processes of a run of which this machine has files, in their order."""
    found: list[V2Process] = []
    for place in sorted(folder.glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            nodes: Collection[str] | None = orjson.loads((place / _NODES).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            continue
        found.append(V2Process(int(place.name), place, None if nodes is None else frozenset(nodes)))
    return found


def pid_of_living(folder: Path) -> int | None:
    """The process that still writes there, if one does: the one that has the file of events open for its output."""
    try:
        pid = int(orjson.loads((folder / _PROCESS).read_bytes())["pid"])
        return pid if os.path.samefile(f"/proc/{pid}/fd/1", folder / EVENTS) else None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def interrupt_living(folder: Path) -> None:
    """Has the process that still writes there, if one does, end its statements and itself."""
    pid = pid_of_living(folder)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
