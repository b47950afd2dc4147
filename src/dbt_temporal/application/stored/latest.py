"""Artifacts at an address that does not move: `latest/<project>/<target>/` has those of the newest run that deployed.

Stores know no transactions, and a worker may die amid the copy. So the file `run.json` there is what counts: it is
written first, in one piece, and names a run whose own folder is complete by then and never changes. Runs of ours go by
it to that folder, and never read the copies. Those are for whoever wants one address. A run copies its files, and then
looks whether the folder is still its own: where another run has said so since, the files of that one are copied, by
both. So whoever copies last has copied what `run.json` says, and a step that died is tried again.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import ValidationError

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.stored.run_files import safe_name
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.domain.run.input import DbtRunInput

LatestRule = Literal["success", "always", "never"]
LATEST = "latest"
FILES = ("manifest.json", "run_results.json", "semantic_manifest.json", "catalog.json", "report.html")
"""What the folder has, as far as the run has it."""
WHOSE = "run.json"
DEPLOYING = ("build", "run")
"""Commands after which relations are what the manifest says; the others say nothing of models, or leave them alone."""


def becomes_latest(run: LatestRun, run_input: DbtRunInput, rule: LatestRule) -> bool:
    """Whether a run leaves relations as its manifest has them, with all their rows, and ARTIFACT_LATEST wants it."""
    if rule == "never" or run_input.command not in DEPLOYING or run_input.empty or run_input.sample is not None:
        return False
    return run.success or rule == "always"


class LatestArtifacts:
    """The folders of all projects and targets. Raises ArtifactStore errors."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def publish(self, run: LatestRun) -> None:
        """Makes a run the latest of its project and target, unless one that ended later is; its own folder is complete.

        The folder has one run's files afterwards, whichever it is.
        """
        folder = _folder(run.project, run.target)
        await self._make_room(run.project)
        known = await self.run_of(run.project, run.target)
        if known is None or not known.ended_after(run):
            await self._store.write(f"{folder}/{WHOSE}", run.model_dump_json().encode())
            known = run
        while True:
            await asyncio.gather(*(self._copy(folder, name, known.invocation_id) for name in FILES))
            now = await self.run_of(run.project, run.target)
            if now is None or now.invocation_id == known.invocation_id:
                return
            known = now

    async def run_of(self, project: str, target: str) -> LatestRun | None:
        """The latest run; None where there is none, or where nobody can read which one it is."""
        return read_run(await self._store.read(f"{_folder(project, target)}/{WHOSE}"))

    async def runs_of(self, project: str) -> list[LatestRun]:
        """The latest runs of a project, one for each target that has one, by the targets' names."""
        listed = await self._store.list_files(f"{LATEST}/{safe_name(project)}")
        contents = [await self._store.read(file.path) for file in listed if file.path.endswith(f"/{WHOSE}")]
        found = (read_run(content) for content in contents)
        return sorted((run for run in found if run is not None), key=lambda run: run.target)

    async def _copy(self, folder: str, name: str, invocation_id: str) -> None:
        if not await self._store.copy(f"{invocation_id}/{name}", f"{folder}/{name}"):
            await self._store.delete_file(f"{folder}/{name}")

    async def _make_room(self, project: str) -> None:
        """Removes the file that releases before this had in the folder's place; object stores have room for both."""
        place = f"{LATEST}/{safe_name(project)}"
        if await self._store.read(place) is not None:
            await self._store.delete_file(place)


def read_run(content: bytes | None) -> LatestRun | None:
    """What a `run.json` says; None where there is none, or nobody can read it."""
    try:
        return None if content is None else LatestRun.model_validate_json(content)
    except ValidationError:
        return None


def _folder(project: str, target: str) -> str:
    return f"{LATEST}/{safe_name(project)}/{safe_name(target)}"
