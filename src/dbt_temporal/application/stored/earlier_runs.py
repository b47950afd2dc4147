"""Earlier runs by name, in the fields of a run's input that refer to artifacts: `latest`, `latest:<target>`, ids."""

from __future__ import annotations

from datetime import datetime
from typing import TypeGuard

import orjson

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.stored.latest import LATEST, LatestArtifacts
from dbt_temporal.application.stored.run_files import safe_name
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import is_invocation_id

NEWEST = "newest"
"""The store's folder that says which run of a project is the newest one that has stored results."""
_OF_TARGET = f"{LATEST}:"
_FIELDS = ("retry_from", "state_manifest_ref", "defer_manifest_ref")


class EarlierRuns:
    """What the store knows of the runs before this one."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def note(self, project: str, run_input: DbtRunInput, invocation_id: str, ended_at: str | None = None) -> None:
        """Makes a run the project's latest, where dbt could retry it. Raises ArtifactStore errors.

        Args:
            project: its name.
            run_input: what was run.
            invocation_id: the run's.
            ended_at: when the run ended, in ISO 8601, if that was not just now: it comes before those that ended later.
        """
        if not COMMANDS[run_input.command].can_be_retried:
            return
        if ended_at is None or not await self._has_later(project, datetime.fromisoformat(ended_at)):
            await self._store.write(_newest_path(project), invocation_id.encode())

    async def _has_later(self, project: str, ended_at: datetime) -> bool:
        """Whether the latest run has stored its results after this time. What does not say so does not count."""
        latest = await self._newest(project)
        results = None if latest is None else await self._store.read(f"{latest}/run_results.json")
        try:
            generated = orjson.loads(results or b"{}")["metadata"]["generated_at"]
            return datetime.fromisoformat(generated) > ended_at
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return False

    async def resolved(self, project: str, run_input: DbtRunInput) -> DbtRunInput:
        """The input with places in the store instead of names; the command `retry` is of the latest run.

        Raises:
            DbtTemporalError: Configuration where the project has no run with results; ArtifactStore.
        """
        names = {field: getattr(run_input, field) for field in _FIELDS}
        if run_input.command == "retry":
            names["retry_from"] = run_input.retry_from or LATEST
        places = {}
        for field, name in names.items():
            if _is_name(name):
                places[field] = await self._place(field, name, project)
        return run_input.model_copy(update=places) if places else run_input

    async def _place(self, field: str, name: str, project: str) -> str:
        if is_invocation_id(name):
            return self._store.location(name)
        if name != LATEST:
            return await self._latest_of_target(field, name.removeprefix(_OF_TARGET), project)
        latest = await self._newest(project)
        if latest is None:
            raise configuration_error(
                f"{field}: no run of {project!r} has stored results yet; give a path, a URL or an invocation id"
            )
        return self._store.location(latest)

    async def _latest_of_target(self, field: str, target: str, project: str) -> str:
        latest = await LatestArtifacts(self._store).run_of(project, target)
        if latest is None:
            raise configuration_error(
                f"{field}: no build or run of {project!r} for the target {target!r} has succeeded yet in this artifact "
                "store (ARTIFACT_LATEST)"
            )
        return self._store.location(latest.invocation_id)

    async def _newest(self, project: str) -> str | None:
        """The invocation id; releases before this one have it in another place."""
        newest = await self._store.read(_newest_path(project))
        if newest is None:
            newest = await self._store.read(f"{LATEST}/{safe_name(project)}")
        return None if newest is None else newest.decode()


def _newest_path(project: str) -> str:
    return f"{NEWEST}/{safe_name(project)}"


def _is_name(reference: str | None) -> TypeGuard[str]:
    return reference is not None and (is_latest(reference) or is_invocation_id(reference))


def is_latest(reference: str) -> bool:
    """Whether it is `latest`, or `latest:` with the name of a target."""
    return reference == LATEST or (reference.startswith(_OF_TARGET) and reference != _OF_TARGET)
