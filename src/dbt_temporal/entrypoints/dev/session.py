"""`dbt-temporal dev`: a Temporal server with its UI and a worker, all of which one Ctrl-C ends."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.connection.search_attributes import (
    DBT_SEARCH_ATTRIBUTES,
    register_search_attributes,
)
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings, build_runtime
from dbt_temporal.entrypoints.dev.calm import CalmLines
from dbt_temporal.entrypoints.dev.changes import ProjectFiles
from dbt_temporal.entrypoints.dev.environment import DevOptions, dev_environment, project_folders, project_sources
from dbt_temporal.entrypoints.dev.processes import end_process, kill_session, signal_process, start_process
from dbt_temporal.entrypoints.dev.registry import DevRegistry, DevServer, this_process
from dbt_temporal.entrypoints.dev.server import USUAL_PORT, USUAL_UI_PORT, EmbeddedServer, ServerOptions, start_server
from dbt_temporal.entrypoints.dev.signals import Stop, stop_by_signal
from dbt_temporal.entrypoints.dev.worker import PROGRAM, DevWorker
from dbt_temporal.entrypoints.exit_codes import COULD_NOT_RUN, SUCCESS
from dbt_temporal.entrypoints.settings import Settings, read_settings

SERVER_PATIENCE_SECS = 60.0
COMMAND_END_SECS = 30.0


async def run_dev(options: DevOptions, environ: Mapping[str, str]) -> int:
    """Runs until Ctrl-C, or until the command of `--run` has ended. Returns the exit code.

    Raises:
        SettingsError: a variable is wrong.
        DbtTemporalError: of type Configuration, where the server does not start or cannot be reached.
    """
    cache_dir = read_settings(environ).cache_dir
    env = dev_environment(options, environ, cache_dir)
    read_settings(env)
    console = Console(highlight=False)
    with stop_by_signal() as stop:
        try:
            async with AsyncExitStack() as stack:
                server = await stack.enter_async_context(_server(options, env, cache_dir, stop, console))
                if server is not None:
                    env["TEMPORAL_ADDRESS"] = server.address
                    env.setdefault("TEMPORAL_UI_URL", server.ui_url)
                settings = read_settings(env)
                if server is None:
                    await _register(settings, console)
                return await DevSession(options, env, settings, server, stop, console).run()
        except asyncio.CancelledError:
            if not stop.ending:
                raise
            return stop.exit_code


@asynccontextmanager
async def _server(
    options: DevOptions, env: Mapping[str, str], cache_dir: Path, stop: Stop, console: Console
) -> AsyncIterator[EmbeddedServer | None]:
    """The embedded server while the block runs; None where TEMPORAL_ADDRESS names another."""
    if env.get("TEMPORAL_ADDRESS", "").strip():
        yield None
        return
    server = await start_server(
        ServerOptions(
            namespace=env.get("TEMPORAL_NAMESPACE", "").strip() or "default",
            search_attributes=DBT_SEARCH_ATTRIBUTES,
            log_folder=cache_dir / "dev",
            port=options.port,
            ui_port=options.ui_port,
            db_file=options.db_file,
        )
    )
    stop.kill.append(lambda: kill_session(server.process))
    for usual, used, flag in (
        (USUAL_PORT, server.port, options.port),
        (USUAL_UI_PORT, server.ui_port, options.ui_port),
    ):
        if used != usual and flag is None:
            console.print(f"Port {usual} is taken: using {used} instead.", style="yellow")
    try:
        yield server
    finally:
        await server.stop()


async def _register(settings: Settings, console: Console) -> None:
    """Has somebody else's server know our search attributes; ours is started with them."""
    console.print(f"Connecting to Temporal at {settings.connection.target} ...", style="cyan")
    runtime = build_runtime(MetricsSettings())
    client = await connect(settings.connection, patience_secs=SERVER_PATIENCE_SECS, runtime=runtime)
    try:
        await register_search_attributes(client)
    except RPCError as error:
        console.print(f"The search attributes of runs could not be registered: {error.message}", style="yellow")


@dataclass
class DevSession:
    """What goes on while the server runs. `server` is None where it is not ours."""

    options: DevOptions
    env: Mapping[str, str]
    settings: Settings
    server: EmbeddedServer | None
    stop: Stop
    console: Console
    _quiet: bool = False
    _calm: CalmLines = field(default_factory=CalmLines)

    async def run(self) -> int:
        """Serves until a signal or the command's end. Returns the exit code."""
        pid, _ = this_process()
        health_file = self.settings.cache_dir / "dev" / f"{pid}.ready"
        files = ProjectFiles(project_sources(self.settings.projects))
        worker = DevWorker(self.env, health_file, files, self._show_worker_line, self._say)
        self.stop.kill.append(worker.kill)
        # A command shows its own progress, which the worker's lines would tear.
        self._quiet = self.options.command is not None
        try:
            with self._announced():
                serving = asyncio.ensure_future(self._serve(worker))
                return await self._while_server_lives(serving)
        finally:
            self._say("Ending the worker and the server ..." if self.server else "Ending the worker ...")
            await worker.stop()

    async def _while_server_lives(self, serving: asyncio.Future[int]) -> int:
        ends: list[asyncio.Future[int]] = [serving]
        if self.server is not None:
            ends.append(asyncio.ensure_future(self.server.process.wait()))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                return serving.result()
            assert self.server is not None
            code, log = self.server.process.returncode, self.server.log_file
            self._say(f"The Temporal server has ended by itself (exit code {code}). Its log may say why: {log}", "red")
            return COULD_NOT_RUN
        finally:
            for end in ends:
                end.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*ends, return_exceptions=True)

    async def _serve(self, worker: DevWorker) -> int:
        self._say("Loading the project ...")
        loaded = await worker.start()
        if not loaded and self.options.command is not None:
            self.console.print(Text("\n".join(worker.output)), soft_wrap=True)
            return COULD_NOT_RUN
        self._welcome()
        exit_code = SUCCESS
        if self.options.command is not None:
            exit_code = await self._run_command(self.options.command)
            if self.stop.interrupted:
                return exit_code
            if not self.options.keep:
                if self.server is not None:
                    self._say(
                        "The server, which `logs`, `retry` and the UI need, ends now; --keep keeps it until Ctrl-C."
                    )
                return exit_code
            self.stop.exit_code = exit_code
            self._quiet = False
            self._say("Staying until Ctrl-C, as --keep asks.")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.keep())
            tasks.create_task(self._tell_of_edits(worker))
        return exit_code

    async def _tell_of_edits(self, worker: DevWorker) -> None:
        """Says what was edited, in one line for all that is saved at once. Of a worker that has not loaded, it is said
        by what loads it again.
        """
        before = worker.known
        while True:
            after = await worker.files.changed_since(before)
            if worker.loaded:
                self._say(f"{datetime.now():%H:%M:%S}  {worker.files.edited(before, after)} The next run reads it.")
            before = after

    async def _run_command(self, command: str) -> int:
        """Runs one of our commands in a child that has the terminal; signals go to it."""
        child = await start_process([*PROGRAM, *shlex.split(command)], env=self.env)
        self.stop.forward = lambda number: signal_process(child, number)
        try:
            return await child.wait()
        finally:
            self.stop.forward = None
            await end_process(child, COMMAND_END_SECS)

    @contextmanager
    def _announced(self) -> Iterator[None]:
        """Lets commands in other terminals find us while the block runs."""
        registry = DevRegistry(self.settings.cache_dir)
        pid, started = this_process()
        connection = self.settings.connection
        registry.announce(
            DevServer(
                pid=pid,
                started=started,
                address=connection.address,
                namespace=connection.namespace,
                task_queue=connection.task_queue,
                ui_url=self.env.get("TEMPORAL_UI_URL"),
                projects=[str(folder) for folder in project_folders(self.settings.projects)],
            )
        )
        try:
            yield
        finally:
            registry.withdraw(pid)

    def _welcome(self) -> None:
        address = self.settings.connection.address
        facts = {
            "Temporal server": f"{address}  (log: {self.server.log_file})" if self.server else address,
            "Temporal UI": self.env.get("TEMPORAL_UI_URL") or "not known; TEMPORAL_UI_URL names it",
            "Projects": ", ".join(str(folder) for folder in project_folders(self.settings.projects)),
            "Artifacts": self.settings.artifacts.store if self.settings.artifacts.write_artifacts else "not written",
        }
        for name, fact in facts.items():
            self.console.print(Text.assemble((f"{name:<16}", "bold"), fact), soft_wrap=True)
        if self.options.command is None:
            self.console.print(Text("In another terminal: dbt-temporal build"), soft_wrap=True)
            self.console.print(Text(f"Other programs:      TEMPORAL_ADDRESS={address}"), soft_wrap=True)
            self.console.print(Text("Each run reads the files as they are when it begins."), soft_wrap=True)
            self.console.print(Text("Ctrl-C ends all of it."), soft_wrap=True)

    @property
    def _is_calm(self) -> bool:
        """Whether nobody has said how the log is to be."""
        return not any(self.env.get(name, "").strip() for name in ("DBT_TEMPORAL_LOG_FORMAT", "DBT_TEMPORAL_LOG_LEVEL"))

    def _show_worker_line(self, line: str) -> None:
        if not self._quiet:
            lines = self._calm.of(line) if self._is_calm else [Text(line, style="dim")]
            for each in lines:
                self.console.print(each, soft_wrap=True)

    def _say(self, text: str, style: str = "cyan") -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)
