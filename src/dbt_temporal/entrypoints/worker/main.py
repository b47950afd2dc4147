"""The worker program: settings, projects, then work until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dependency_injector import providers
from rich.console import Console
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.worker import Worker

from dbt_temporal.adapters.health.beat import beat, check_health
from dbt_temporal.adapters.health.readiness import Readiness
from dbt_temporal.adapters.health.server import health_server
from dbt_temporal.adapters.temporal.closed_runs.finding import ClosedRuns, notice
from dbt_temporal.adapters.temporal.connection.connect import connect, namespace_facts
from dbt_temporal.adapters.temporal.connection.polling import is_heard
from dbt_temporal.adapters.temporal.connection.search_attributes import (
    DBT_SEARCH_ATTRIBUTES,
    registered_search_attributes,
    warn_of_missing,
)
from dbt_temporal.adapters.temporal.telemetry.metrics import MeterTelemetry
from dbt_temporal.adapters.temporal.telemetry.metrics_export import build_runtime
from dbt_temporal.adapters.temporal.telemetry.tracing_start import start_tracing
from dbt_temporal.adapters.temporal.worker.build import build_worker
from dbt_temporal.adapters.temporal.worker.heartbeat import HEARTBEAT_INTERVAL, QUIET_SECS
from dbt_temporal.adapters.temporal.worker.own_queue import build_own_worker
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.container import WorkerContainer, close_lineage
from dbt_temporal.entrypoints.exit_codes import COULD_NOT_RUN, SUCCESS
from dbt_temporal.entrypoints.settings import HealthSettings, Settings, read_health_file, read_settings
from dbt_temporal.entrypoints.worker.log import logger, start_log, worker_console
from dbt_temporal.entrypoints.worker.start_table import engines_of, print_projects

if TYPE_CHECKING:
    from dbt_temporal.adapters.dbt_core.template import Template
    from dbt_temporal.adapters.temporal.telemetry.tracing import Tracing

CONNECT_PATIENCE_SECS = 30.0
"""In compose files and pods the worker often starts before the server."""
KILLED_BY_SIGNAL = 128
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Output = TypeVar("Output")


async def main(
    environ: Mapping[str, str] | None = None,
    *,
    template: Template | None = None,
    container: WorkerContainer | None = None,
) -> int:
    """Runs a worker by the environment. Returns the exit code.

    Args:
        environ: this process's by default.
        template: one that has begun, if there is one.
        container: one in which other adapters stand for some of ours (docs/extending.md).

    Raises:
        SettingsError: variables are wrong.
        DbtTemporalError: the server, a source or a project is not as it must be.
    """
    environ = dict(os.environ if environ is None else environ)
    settings = read_settings(environ)
    start_log(settings, environ)
    try:
        await run_worker(settings, environ, template=template, container=container)
    except DbtTemporalError as error:
        if settings.logs.format == "text":
            raise
        logger.error("%s: %s", error.error_type, error.message)
        return COULD_NOT_RUN
    return SUCCESS


def healthcheck(environ: Mapping[str, str]) -> int:
    """Says whether the worker lives: 0 where its health file was touched lately, else 1."""
    healthy, text = check_health(read_health_file(environ))
    print(text)
    return 0 if healthy else 1


async def run_worker(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    console: Console | None = None,
    container: WorkerContainer | None = None,
    template: Template | None = None,
) -> None:
    """Loads the projects, then works until SIGTERM or SIGINT; running nodes may end first. A second signal ends all."""
    container = container or WorkerContainer()
    container.settings.override(providers.Object(settings))
    container.environ.override(providers.Object(environ))
    container.current_dir.override(providers.Object(Path.cwd()))
    if template is not None:
        container.template.override(providers.Object(template))
    console = console or worker_console(settings)
    runtime = build_runtime(settings.metrics)
    container.telemetry.override(providers.Object(MeterTelemetry(runtime.metric_meter)))
    tracing = start_tracing(settings.tracing)
    if tracing is not None:
        container.spans.override(providers.Object(tracing.span))
    readiness = Readiness()
    console.print(f"Connecting to {settings.connection.describe()}", highlight=False, soft_wrap=True, markup=False)
    with _stopped_by_signal() as stopping:
        try:
            # A store whose package is missing is told now, not after the first run; so is what lineage lacks.
            container.artifact_store()
            container.lineage_sender()
            async with _probes(settings.health, readiness), _ended(asyncio.create_task(_prepare(container))):
                client = await _until(stopping, _connect(container, settings, runtime, tracing))
                workers = _workers(container, client, settings, tracing)
                projects = await _until(stopping, container.load_projects()())
                for project in projects:
                    container.registry().add(project)
                print_projects(console, projects)
                about = engines_of(projects)
                await _serve(container, client, workers, settings, console, stopping, readiness, about)
        except _StoppedError:
            console.print("Stopped before the worker was ready.", highlight=False)
        finally:
            await container.engine().close()
            await close_lineage(container)
            if tracing is not None:
                await tracing.close()


async def _prepare(container: WorkerContainer) -> None:
    """Starts the engine while the server is called; what fails is told when a project is loaded."""
    with contextlib.suppress(Exception):
        await container.engine().prepare()


async def _connect(container: WorkerContainer, settings: Settings, runtime: Runtime, tracing: Tracing | None) -> Client:
    """Connects, and asks for the namespace's search attributes and id."""
    plugins = [] if tracing is None else [tracing.plugin]
    client = await connect(settings.connection, patience_secs=CONNECT_PATIENCE_SECS, runtime=runtime, plugins=plugins)
    registered = await registered_search_attributes(client)
    warn_of_missing(frozenset(DBT_SEARCH_ATTRIBUTES) | frozenset(settings.search_attributes), registered)
    container.registered_search_attributes.override(providers.Object(registered))
    namespace = await namespace_facts(client)
    container.namespace_id.override(providers.Object(namespace.id))
    by_server = QUIET_SECS if namespace.tells_of_cancels else HEARTBEAT_INTERVAL.total_seconds()
    container.heartbeat_secs.override(providers.Object(settings.tuning.heartbeat_secs or by_server))
    return client


def _workers(
    container: WorkerContainer, client: Client, settings: Settings, tracing: Tracing | None
) -> tuple[Worker, Worker]:
    """Those of the task queue and of this process's own; made before the projects are there, as it takes a while."""
    interceptors = [] if tracing is None else [tracing.interceptor]
    queue = settings.connection.task_queue
    deployment = settings.versioning.deployment_config()
    return (
        build_worker(client, queue, container.activities(), settings.tuning, interceptors, deployment),
        build_own_worker(client, container.own_queue(), container.activities(), settings.tuning, interceptors),
    )


async def _serve(
    container: WorkerContainer,
    client: Client,
    workers: tuple[Worker, Worker],
    settings: Settings,
    console: Console,
    stopping: asyncio.Event,
    readiness: Readiness,
    about: str,
) -> None:
    queue = settings.connection.task_queue
    worker, own = workers
    polling = asyncio.create_task(_run_all(worker, own))
    stop = asyncio.create_task(stopping.wait())

    async def alive() -> bool:
        await container.engine().ping()
        await asyncio.to_thread(polling.done)  # the threads that all projects share have one left
        return not polling.done()

    watching = asyncio.create_task(readiness.watch(lambda: is_heard(client, queue)))
    noticing = asyncio.create_task(_notice(ClosedRuns(client, queue), settings))
    async with _beating(settings.health, about, alive), _ended(watching), _ended(noticing):
        console.print(
            f"Working on task queue {settings.connection.task_queue!r} of namespace "
            f"{settings.connection.namespace!r} at {settings.connection.target}",
            highlight=False,
            soft_wrap=True,
        )
        if settings.versioning.describe():
            console.print(settings.versioning.describe(), highlight=False, soft_wrap=True, markup=False)
        await asyncio.wait([polling, stop], return_when=asyncio.FIRST_COMPLETED)
        if not polling.done():
            await _cancelled(watching)
            readiness.say(False, "the worker is shutting down")
            limit = settings.tuning.graceful_shutdown_secs
            within = "" if limit is None else f" within {limit:g} seconds"
            console.print(f"Shutting down: running nodes may end{within}; a second signal ends them.", highlight=False)
            await asyncio.gather(worker.shutdown(), own.shutdown())
        stop.cancel()
        # A worker that ends by itself has failed, and says why here.
        await polling
    console.print("Worker ended.", highlight=False)


async def _notice(runs: ClosedRuns, settings: Settings) -> None:
    """Has runs that were ended from outside get their artifacts, where this worker writes any."""
    if settings.artifacts.write_artifacts and settings.tuning.tidy_every_secs:
        await notice(runs, settings.tuning.tidy_every_secs)


async def _run_all(*workers: Worker) -> None:
    await asyncio.gather(*(worker.run() for worker in workers))


@contextlib.asynccontextmanager
async def _probes(settings: HealthSettings, readiness: Readiness) -> AsyncIterator[None]:
    """Answers probes, where a port is set, from the start on."""
    if settings.port is None or settings.beat_file is None:
        yield
        return
    async with health_server(settings.port, settings.beat_file, readiness):
        yield


@contextlib.asynccontextmanager
async def _beating(settings: HealthSettings, about: str, alive: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
    if settings.beat_file is None:
        yield
        return
    async with _ended(asyncio.create_task(beat(settings.beat_file, about=about, alive=alive))):
        yield


@contextlib.asynccontextmanager
async def _ended(task: asyncio.Task[None]) -> AsyncIterator[None]:
    """Lets a task run as long as the block does."""
    try:
        yield
    finally:
        await _cancelled(task)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class _StoppedError(Exception):
    """A signal came before the worker was ready."""


async def _until(stopping: asyncio.Event, work: Coroutine[Any, Any, Output]) -> Output:
    """Awaits the work, but not beyond a signal."""
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise _StoppedError
    finally:
        stop.cancel()
        task.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


@contextlib.contextmanager
def _stopped_by_signal() -> Iterator[asyncio.Event]:
    """An event that the first SIGTERM or SIGINT sets.

    The second ends the process at once; its hosts then
    see its end, cancel their statements, and end too.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(KILLED_BY_SIGNAL + number)
        stopping.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopping
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
