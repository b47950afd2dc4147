"""Setting a host up for its run: flags, invocation, adapter and task, once for all requests."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from dbt.event_time import sample_window
from dbt_common.events.functions import get_metadata_vars

from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.command_line import command_line, flag_params
from dbt_temporal.adapters.dbt_core.process.events import EventRouter
from dbt_temporal.adapters.dbt_core.process.kept.graph import KeptGraph
from dbt_temporal.adapters.dbt_core.process.parsing.loading import LoadedParent
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.adapters.dbt_core.process.run.state import TARGET, previous_state
from dbt_temporal.adapters.dbt_core.process.run.tasks import TASKS, make_task
from dbt_temporal.adapters.dbt_core.wire import PARSED_MANIFEST
from dbt_temporal.domain.run.invocation import DbtInvocation


def open_run(
    parent: LoadedParent, invocation: DbtInvocation, run_dir: Path, local_references: Mapping[str, str]
) -> HostRun:
    """Sets this process up for a run. Only once per process: dbt's state is process-wide.

    `local_references` are copies on this machine of artifacts that the input names, by its fields.
    """
    run_input = invocation.input
    settings = parent.project.settings
    run_dir.mkdir(parents=True, exist_ok=True)
    local = run_input.model_copy(update=dict(local_references))
    state = previous_state(local, Path(settings.project_dir), run_dir)
    sys.argv = command_line(invocation)
    given = flag_params(run_input)
    narrowed = any(given[name] for name in ("select", "exclude", "selector"))
    taken_over = state.retry.params(given) if state.retry is not None else {}
    copies = {"state": state.state_dir, "defer_state": state.defer_dir}
    started_at = datetime.fromisoformat(invocation.started_at)
    with samples_until(started_at):
        flags = bootstrap.make_flags(run_input.command, settings, given | copies, taken_over)
    router = EventRouter(flags, run_dir)
    for name, value in invocation.job.items():
        os.environ.setdefault(name, value)
    bootstrap.begin_invocation(flags, invocation.invocation_id, started_at, router)
    router.hear_of_files(parent.said)
    project, adapter = bootstrap.for_run(parent.project, flags, str(run_dir / TARGET))
    _stamp(project.manifest.metadata, invocation.invocation_id, started_at)
    try:
        task = make_task(run_input.command, flags, project, parent.graphs, state.retry, narrowed=narrowed)
    except Exception:
        if TASKS[run_input.command].manifest_first:
            project.manifest.metadata.generated_at = datetime.now(UTC).replace(tzinfo=None)
            project.manifest.writable_manifest().write(str(run_dir / PARSED_MANIFEST))
        raise
    for name, copy in copies.items():
        if copy is not None:  # which the task has read by now; Jinja and artifacts have the name that was given
            bootstrap.set_flag(flags, name, given[name])
    if state.retry is not None and state.state_dir is None:
        bootstrap.set_flag(flags, "state", state.retry.results.args.get("state"))
    kept = KeptGraph(project.manifest, adapter.type())
    return HostRun(project, invocation, flags, adapter, task, router, run_dir, kept)


@contextlib.contextmanager
def samples_until(instant: datetime) -> Iterator[None]:
    """Within the block `--sample "3 days"` means those before the instant: the same on all hosts of a run.

    dbt counts from the moment at which it reads the flag (`SampleWindow.from_relative_string`, dbt-core 1.11, 1.12).
    """

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return instant.astimezone(tz)

    window = sample_window.SampleWindow
    count_back = window.from_relative_string

    def until_instant(relative: str) -> sample_window.SampleWindow:
        # Not for longer: dbt finds the types of windows by the name, too.
        sample_window.datetime = Clock
        try:
            return count_back(relative)
        finally:
            sample_window.datetime = datetime

    window.from_relative_string = until_instant
    try:
        yield
    finally:
        window.from_relative_string = count_back


def _stamp(metadata: Any, invocation_id: str, started_at: datetime) -> None:
    metadata.invocation_id = invocation_id
    metadata.env = get_metadata_vars()
    if hasattr(metadata, "invocation_started_at"):
        metadata.invocation_started_at = started_at.replace(tzinfo=None)
    if hasattr(metadata, "run_started_at"):
        metadata.run_started_at = started_at
