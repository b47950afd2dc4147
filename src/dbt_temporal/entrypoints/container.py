"""The wiring of a worker: settings in, use cases and sources out. Tests override providers with fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from dependency_injector import containers, providers

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.artifact_stores.references import FsspecReferences
from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_core.parents.shared import SharedParses
from dbt_temporal.adapters.dbt_core.template import Template
from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.adapters.openlineage.start import start_lineage
from dbt_temporal.adapters.project_config_file import read_project_config, read_project_name
from dbt_temporal.adapters.project_sources.local import current_revision
from dbt_temporal.adapters.report_page.page import html_page
from dbt_temporal.adapters.secrets import WorkerSecrets
from dbt_temporal.adapters.temporal.leases.client import TemporalLeases
from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.adapters.temporal.schedules.times import TemporalSchedules
from dbt_temporal.adapters.temporal.telemetry.steps import SpanFactory, no_span
from dbt_temporal.adapters.temporal.worker.activities import DbtActivities
from dbt_temporal.adapters.temporal.worker.current_step import CurrentStep
from dbt_temporal.adapters.temporal.worker.heartbeat import HEARTBEAT_INTERVAL
from dbt_temporal.adapters.temporal.worker.left_out import LeftOutInHistory
from dbt_temporal.adapters.temporal.worker.own_queue import own_task_queue
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.report_page import ReportPage
from dbt_temporal.application.ports.telemetry import NoTelemetry, Telemetry
from dbt_temporal.application.projects.engines import EngineByProject
from dbt_temporal.application.projects.loading import LoadProjects, RereadProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.secrets.keeping_engine import SecretKeepingEngine
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.entrypoints.discovery import project_sources
from dbt_temporal.entrypoints.engines import default_engine, engines_here
from dbt_temporal.entrypoints.settings import Settings


def shared_parses(settings: Settings, store: ArtifactStore, environ: Mapping[str, str]) -> SharedParses | None:
    """The parses that this worker shares with others, sealed by the keys that encrypt payloads; None for none."""
    keys = [*settings.connection.keys.values()]
    return SharedParses(store, environ, keys) if settings.artifacts.shares_parses else None


def report_page(settings: Settings) -> ReportPage | None:
    """What makes the reports of runs, where they are to have any."""
    return html_page if settings.artifacts.write_report else None


def keeps_sql(settings: Settings) -> bool:
    """Whether the records of nodes have their SQL: it is for `sql.zip` alone."""
    return settings.artifacts.write_artifacts and settings.artifacts.write_sql


async def close_lineage(container: WorkerContainer) -> None:
    """Sends what is left of lineage, where any is sent, for as long as the end of a program may take."""
    sender = container.lineage_sender()
    if sender is not None:
        await asyncio.to_thread(sender.close)


class WorkerContainer(containers.DeclarativeContainer):
    """What a worker is made of.

    Given from outside: `settings`, `environ`, `current_dir`; `registered_search_attributes`, `namespace_id` and
    `heartbeat_secs` once connected; `telemetry` and `spans` where somebody listens; `template` where it has begun
    already; `registry` is one object that is filled when the projects are loaded.
    """

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    environ: providers.Dependency[Mapping[str, str]] = providers.Dependency()
    current_dir: providers.Dependency[Path] = providers.Dependency(instance_of=Path)
    namespace_id: providers.Dependency[str] = providers.Dependency(default="")
    heartbeat_secs: providers.Dependency[float] = providers.Dependency(default=HEARTBEAT_INTERVAL.total_seconds())
    registered_search_attributes: providers.Dependency[frozenset[str]] = providers.Dependency(default=frozenset())
    telemetry: providers.Dependency[Telemetry] = providers.Dependency(default=NoTelemetry())
    spans: providers.Dependency[SpanFactory] = providers.Dependency(default=no_span)
    template: providers.Provider[Template | None] = providers.Object(None)

    references = providers.Singleton(FsspecReferences, environ)
    artifact_store = providers.Singleton(FsspecArtifactStore, settings.provided.artifacts.store, environ)
    shared_parses = providers.Singleton(shared_parses, settings, artifact_store, environ)
    dbt_engine = providers.Singleton(
        DbtCoreEngine,
        cache_dir=settings.provided.cache_dir,
        environ=environ,
        deps=settings.provided.projects.deps,
        references=references,
        telemetry=telemetry,
        limits=settings.provided.engine,
        shared=shared_parses,
        template=template,
        keeps_sql=providers.Callable(keeps_sql, settings),
    )
    secret_resolver = providers.Singleton(WorkerSecrets, environ, settings.provided.secrets)
    v2_engine = providers.Singleton(
        DbtV2Engine,
        cache_dir=settings.provided.cache_dir,
        binary=settings.provided.v2.binary,
        environ=environ,
        deps=settings.provided.projects.deps,
        references=references,
        telemetry=telemetry,
    )
    engines = providers.Singleton(engines_here, settings, environ, dbt_engine.provider, v2_engine.provider)
    engine_by_project = providers.Singleton(
        EngineByProject, engines, default=providers.Callable(default_engine, settings, engines)
    )
    engine = providers.Singleton(SecretKeepingEngine, engine_by_project, secret_resolver, environ)
    reread = providers.Factory(RereadProject, providers.Object(current_revision), providers.Object(read_project_config))
    registry = providers.Singleton(ProjectRegistry, reread=reread)
    sources = providers.Singleton(project_sources, settings, current_dir, environ)
    load_projects = providers.Factory(
        LoadProjects,
        sources=sources,
        engine=engine,
        read_config=providers.Object(read_project_config),
        read_name=providers.Object(read_project_name),
        check=engine_by_project.provided.engine_of,
        strict=settings.provided.projects.strict_start,
    )
    lineage_sender = providers.Singleton(start_lineage, settings.provided.lineage)
    step = providers.Singleton(CurrentStep, environ, namespace_id, heartbeat_secs)
    own_queue = providers.Singleton(own_task_queue, settings.provided.connection.task_queue)
    use_cases = providers.Singleton(
        UseCases.build,
        engine,
        registry,
        artifact_store,
        budget=providers.Object(TEMPORAL_BUDGET),
        write_artifacts=settings.provided.artifacts.write_artifacts,
        write_run_log=settings.provided.artifacts.write_run_log,
        report_page=providers.Callable(report_page, settings),
        priority_scheduling=settings.provided.tuning.priority_scheduling,
        continue_after=settings.provided.tuning.history_limits,
        write_catalog=settings.provided.artifacts.write_catalog,
        write_sql=settings.provided.artifacts.write_sql,
        latest=settings.provided.artifacts.latest,
        static_search_attributes=settings.provided.search_attributes,
        registered_search_attributes=registered_search_attributes,
        own_queue=own_queue,
        takes_handed_on=settings.provided.tuning.is_handed_steps_on,
        step=step,
        left_out=providers.Singleton(LeftOutInHistory),
        schedules=providers.Singleton(TemporalSchedules),
        leases=providers.Singleton(TemporalLeases, settings.provided.connection.task_queue),
        lineage=lineage_sender,
    )
    activities = providers.Singleton(DbtActivities, use_cases, telemetry, spans, heartbeat_secs)
