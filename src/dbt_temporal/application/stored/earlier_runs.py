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
        latest = await self.newest(project)
        results = None if latest is None else await self._store.read(f"{latest}/run_results.json")
        try:
            generated = orjson.loads(results or b"{}")["metadata"]["generated_at"]
            return datetime.fromisoformat(generated) > ended_at
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return False

    async def resolved(self, project: str, run_input: DbtRunInput, target: str = "") -> DbtRunInput:
        """The input with places in the store instead of names; the command `retry` is of the latest run.

        Args:
            project: its name.
            run_input: what is to be run.
            target: the one that it is for, as far as that is known.

        Raises:
            DbtTemporalError: Configuration where the project has no run with results, or where `latest` may be one of
                several targets; ArtifactStore.
        """
        names = {field: getattr(run_input, field) for field in _FIELDS}
        if run_input.command == "retry":
            names["retry_from"] = run_input.retry_from or LATEST
        deployed = None
        if run_input.defer_manifest_ref == LATEST:
            deployed = await self._deployed(project, target)
        places = {}
        for field, name in names.items():
            if deployed is not None and name == LATEST and _is_compared_with_deployed(field, run_input):
                places[field] = self._store.location(deployed)
            elif _is_name(name):
                places[field] = await self._place(field, name, project)
        return run_input.model_copy(update=places) if places else run_input

    async def _deployed(self, project: str, own: str) -> str | None:
        """The run from which one takes what it does not build: the latest of the other target, else of its own. None
        where no target has one."""
        known = await LatestArtifacts(self._store).runs_of(project)
        others = [run for run in known if run.target != own] or known
        if len(others) > 1:
            targets = " or ".join(repr(run.target) for run in others)
            raise configuration_error(
                f"defer_manifest_ref: `latest` may be the newest run of {project!r} for {targets}: say which, as in "
                f"{_OF_TARGET}{others[0].target}"
            )
        return others[0].invocation_id if others else None

    async def _place(self, field: str, name: str, project: str) -> str:
        if is_invocation_id(name):
            return self._store.location(name)
        if name != LATEST:
            return await self._latest_of_target(field, name.removeprefix(_OF_TARGET), project)
        latest = await self.newest(project)
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

    async def newest(self, project: str) -> str | None:
        """The invocation id of a project's latest run; None where there is none. Raises ArtifactStore errors."""
        # Releases before this one have it in another place.
        newest = await self._store.read(_newest_path(project))
        if newest is None:
            newest = await self._store.read(f"{LATEST}/{safe_name(project)}")
        return None if newest is None else newest.decode()


def _newest_path(project: str) -> str:
    return f"{NEWEST}/{safe_name(project)}"


def _is_name(reference: str | None) -> TypeGuard[str]:
    return reference is not None and (is_latest(reference) or is_invocation_id(reference))


def _is_compared_with_deployed(field: str, run_input: DbtRunInput) -> bool:
    """Whether `latest` in a field of a run that defers to `latest` is that run, too. Of `result:` it is the newest one,
    however that ended."""
    if field == "state_manifest_ref":
        return not any("result:" in (words or "") for words in (run_input.select, run_input.exclude))
    return field == "defer_manifest_ref"


def is_latest(reference: str) -> bool:
    """Whether it is `latest`, or `latest:` with the name of a target."""
    return reference == LATEST or (reference.startswith(_OF_TARGET) and reference != _OF_TARGET)
