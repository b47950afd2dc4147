"""Commands of dbt v2 on a project: what they are given, and short ones whose end is waited for."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import orjson
import yaml

from dbt_temporal.adapters.dbt_v2.binary import V2Binary, find_binary, missing_binary, read_binary
from dbt_temporal.adapters.dbt_v2.command_line import fail_fast
from dbt_temporal.adapters.dbt_v2.helper import helper_project
from dbt_temporal.adapters.dbt_v2.processes.guard import Guard
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.results import command_error
from dbt_temporal.adapters.dbt_v2.stage import read_project_file
from dbt_temporal.adapters.project_files import PROFILES_FILE
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import DbtRunInput

END_SECS = 10.0
_FORCED = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "RUST_BACKTRACE": "0",
}
_OURS = ("QUIET", "LOG_LEVEL", "LOG_LEVEL_FILE", "LOG_FORMAT", "LOG_FORMAT_FILE", "WRITE_JSON", "INVOCATION_ID")
"""Flags by which this engine hears of nodes: variables that say otherwise do not count."""
_TARGET_VARIABLES = ("DBT_ENGINE_TARGET", "DBT_TARGET")
_FACTS = "facts.json"
DEFAULT_THREADS = 4
"""Where the profile does not say how many."""


@dataclass(frozen=True)
class V2Project:
    """A project as commands are given it.

    Attributes:
        copy: the folder that dbt runs in.
        folder: the user's own, which relative paths of profiles are relative to.
        profiles_dir: where profiles.yml is.
        target: `--target`; None for the profile's own.
        variables: the words of `--vars`.
        environ: the environment.
        silence_secs: a process ends what it runs when its worker stands still for so long; None where it need not.
    """

    copy: Path
    folder: Path
    profiles_dir: Path
    target: str | None
    variables: tuple[str, ...]
    environ: Mapping[str, str]
    silence_secs: float | None = None

    def fails_fast(self, run_input: DbtRunInput) -> bool:
        """dbt's resolved flag."""
        return fail_fast(run_input, self.environ, read_project_file(self.copy))

    def with_variable(self, name: str, value: str) -> V2Project:
        """The same with another variable in its environment."""
        return replace(self, environ={**self.environ, name: value})


@dataclass(frozen=True)
class TargetFacts:
    """What dbt says of a target. Not all adapters have a host, or a path."""

    name: str
    adapter_type: str
    threads: int
    database: str | None = None
    schema: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None


class V2Commands:
    """Starts dbt v2.

    Args:
        configured: the program's path or name; None for what the PATH has.
        environ: below that of runs.
        helpers: where helper projects go.
    """

    def __init__(self, configured: str | None, environ: Mapping[str, str], helpers: Path) -> None:
        self._configured = configured
        self._environ = environ
        self._helpers = helpers
        self._binary: V2Binary | None = None
        self._guard = Guard()
        self._asking = asyncio.Lock()
        self._asking_facts = WeakValueDictionary[Path, asyncio.Lock]()

    async def binary(self) -> V2Binary:
        """The program. Raises Configuration where there is none, or it is not dbt v2."""
        async with self._asking:
            if self._binary is None:
                path = find_binary(self._configured, self._environ)
                if path is None:
                    raise missing_binary(self._configured)
                self._binary = await read_binary(path, self._environ)
            return self._binary

    def environ(self, own: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process, with a run's own variables."""
        without = {f"{prefix}_{name}" for prefix in ("DBT", "DBT_ENGINE") for name in _OURS}
        environ = {name: value for name, value in {**self._environ, **own}.items() if name not in without}
        return environ | _FORCED

    def target(self, own: Mapping[str, str], given: str | None, default: str | None) -> str | None:
        """As on dbt's command line: `--target`, the variables of the run, those of the worker."""
        named = next((own[name] for name in _TARGET_VARIABLES if own.get(name)), None)
        return given or named or default

    async def start(self, process: V2Process, command: Sequence[str], project: V2Project) -> None:
        """Starts a process for a command. Raises Configuration where that cannot be."""
        binary = await self.binary()
        await process.start(
            [binary.path, *command, *_words(project, process)], project.environ, current_dir=project.folder
        )
        self.guard(process, project)

    def guard(self, process: V2Process | None, project: V2Project) -> None:
        """Has a process, if it runs, end what it does when the worker stands still for so long as the project says."""
        if process is None or process.pid is None or process.ended.is_set() or project.silence_secs is None:
            return
        process.has_ended = partial(self._guard.forget, process.pid)
        process.silence_secs = min(process.silence_secs, project.silence_secs)
        self._guard.watch(process.pid, project.silence_secs)

    async def close(self) -> None:
        """Ends what guards the processes, which have ended."""
        await self._guard.close()

    async def run(self, folder: Path, command: Sequence[str], project: V2Project, what: str) -> V2Process:
        """Runs a command to its end; its files stay in `folder`.

        Raises:
            DbtTemporalError: the command failed; `what` names it where dbt did not say why.
        """
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        process = V2Process(0, folder, None)
        await self.start(process, command, project)
        try:
            await process.ended.wait()
        finally:
            await process.end(END_SECS)
        process.refuse_unknown_events()
        if process.return_code != 0 or not process.told.success:
            raise command_error(process.told, process.last_words() or f"{what}: {process.why_died()}")
        return process

    async def facts(self, folder: Path, project: V2Project) -> TargetFacts:
        """What dbt says of the target; asked once for what stays in `folder`."""
        kept = folder / _FACTS
        lock = self._asking_facts.setdefault(folder, asyncio.Lock())
        async with lock:  # several steps of a run may want to know
            if await asyncio.to_thread(kept.is_file):
                return TargetFacts(**orjson.loads(await asyncio.to_thread(kept.read_bytes)))
            return await self._asked_facts(folder, kept, project)

    async def _asked_facts(self, folder: Path, kept: Path, project: V2Project) -> TargetFacts:
        answer = await self._ask(folder, "target_facts", {}, project)
        name, profile = str(answer["name"]), str(answer["profile"])
        threads = answer["threads"] or _threads_of(project.profiles_dir, profile, name) or DEFAULT_THREADS
        place = {key: answer.get(key) for key in ("database", "schema", "host", "port", "path")}
        facts = TargetFacts(name, str(answer["type"]), int(threads), **place)
        await asyncio.to_thread(kept.write_bytes, orjson.dumps(asdict(facts)))
        return facts

    async def end_sessions(self, folder: Path, prefix: str, project: V2Project) -> None:
        """Ends the sessions in the database whose names begin so, and returns when there are none.

        Raises:
            DbtTemporalError: they could not be ended.
        """
        found = True
        while found:  # each look takes a process, so it is no busy one
            found = bool((await self._ask(folder, "end_sessions", {"prefix": prefix}, project))["found"])

    async def _ask(self, folder: Path, macro: str, arguments: Mapping[str, str], project: V2Project) -> dict[str, Any]:
        profile = read_project_file(project.copy).get("profile") or "default"
        helper = await asyncio.to_thread(helper_project, self._helpers, profile)
        words = ["run-operation", macro, *(["--args", orjson.dumps(arguments).decode()] if arguments else [])]
        of_helper = V2Project(
            helper, project.folder, project.profiles_dir, project.target, project.variables, project.environ
        )
        process = await self.run(folder, words, of_helper, f"asking dbt v2 for {macro}")
        for text in process.told.printed:
            try:
                answer: dict[str, Any] = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            return answer
        raise DbtTemporalError(command_error(process.told, f"dbt v2 does not answer {macro}").error_type, macro)


def _words(project: V2Project, process: V2Process) -> list[str]:
    words = [
        *("--project-dir", str(project.copy), "--profiles-dir", str(project.profiles_dir)),
        *("--target-path", str(process.target), "--log-path", str(process.folder / "logs")),
        *("--log-format", "json", "--log-level", "debug", "--log-level-file", "off", "--no-version-check"),
        *project.variables,
    ]
    return words if project.target is None else [*words, "--target", project.target]


def _threads_of(profiles_dir: Path, profile: str, target: str) -> int | None:
    """`threads` as profiles.yml has it: not all adapters of dbt v2 tell it."""
    try:
        document = yaml.safe_load((profiles_dir / PROFILES_FILE).read_bytes())
        return int(document[profile]["outputs"][target]["threads"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
