"""Earlier runs by name: `latest` and invocation ids, in the fields of a run's input that refer to artifacts."""

from __future__ import annotations

from datetime import datetime
from typing import TypeGuard

import orjson

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.stored.run_files import safe_name
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import is_invocation_id

LATEST = "latest"
"""The newest run of the project that has stored results; also the store's folder that says which one it is."""
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
            await self._store.write(_latest_path(project), invocation_id.encode())

    async def _has_later(self, project: str, ended_at: datetime) -> bool:
        """Whether the latest run has stored its results after this time. What does not say so does not count."""
        latest = await self._store.read(_latest_path(project))
        results = None if latest is None else await self._store.read(f"{latest.decode()}/run_results.json")
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
        if name != LATEST:
            return self._store.location(name)
        latest = await self._store.read(_latest_path(project))
        if latest is None:
            raise configuration_error(
                f"{field}: no run of {project!r} has stored results yet; give a path, a URL or an invocation id"
            )
        return self._store.location(latest.decode())


def _latest_path(project: str) -> str:
    return f"{LATEST}/{safe_name(project)}"


def _is_name(reference: str | None) -> TypeGuard[str]:
    return reference is not None and (reference == LATEST or is_invocation_id(reference))
