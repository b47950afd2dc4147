"""Where the files of a run lie in the artifact store, all below the invocation id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import CompletedNode, NodeOutcome
from dbt_temporal.application.shielding import shielded
from dbt_temporal.application.stored.late_writes import LateWrites
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.limits import fit_name
from dbt_temporal.domain.results import NodeExecutionResult

BATCHES = "records/batches"
MAX_NAME_CHARS = 180
"""File systems take names of 255 bytes; the rest is for endings and for what a store adds while it writes."""

logger = logging.getLogger(__name__)


def safe_name(unique_id: str) -> str:
    """A unique_id as a file name: characters outside letters, digits and `_.-` escaped, over-long names hashed."""
    return fit_name(quote(unique_id, safe=""), MAX_NAME_CHARS)


class RunFiles:
    def __init__(self, store: ArtifactStore, invocation_id: str, late: LateWrites | None = None) -> None:
        self._store = store
        self._root = invocation_id
        self._records = f"{invocation_id}/records"
        self._late = late or LateWrites()
        self.missing: list[str] = []
        """Nodes whose records `with_records` has not found in the store."""

    async def keep(self, outcome: NodeOutcome, attempt: int, part: str = "") -> str | None:
        """Keeps what an attempt left behind; returns the location of its log, or None where there is none yet.

        Records are kept by attempt: one that was lost may have written its own, which is not the run's result. A `part`
        of a node, which names it, need not have a record.

        A node that has ended is never run again, never fails, and does not wait for long, because a file could not be
        written: that costs a warning, and the run's artifacts fall back to the small result. Nor because a cancel came
        meanwhile.
        """
        return await shielded(self._keep(outcome, attempt, part))

    async def _keep(self, outcome: NodeOutcome, attempt: int, part: str) -> str | None:
        unique_id = outcome.result.unique_id
        log_location: str | None = None

        async def write_record() -> None:
            await self.write(_record_path(unique_id, attempt, part), outcome.record)

        async def write_log() -> None:
            nonlocal log_location
            name = f"logs/{safe_name(unique_id + part)}.log"
            log_location = await self.write(name, (outcome.log or "").encode())

        # An empty record as well, so that nobody waits for it; and side by side, as it is done for each node.
        writes = []
        if outcome.record or not part:
            writes.append(self._late.begin(self._records, f"the record of {unique_id}{part}", write_record))
        if outcome.log:
            writes.append(self._late.begin(f"{self._root}/logs", f"the log of {unique_id}", write_log))
        await asyncio.gather(*writes)
        return log_location

    async def with_records(
        self,
        results: Sequence[NodeExecutionResult],
        unrecorded: Collection[str] = (),
        behind: Mapping[str, str] | None = None,
        behind_if_failed: Mapping[str, str] = MappingProxyType({}),
        *,
        with_batches: bool = False,
    ) -> list[CompletedNode]:
        """Results with the engine's records of the attempts that counted; where there is none, the small result is all
        that is known. What the run itself has skipped was never attempted.

        Args:
            results: of nodes and hooks.
            unrecorded: ids of those that are no attempt's own word.
            behind: as in `AfterRunInput`, with the next.
            behind_if_failed: as there.
            with_batches: whether records of batches are wanted, too.
        """
        no_record = frozenset(unrecorded)
        paths = {
            result.unique_id: f"{self._root}/{_record_path(result.unique_id, result.attempts)}"
            for result in results
            if result.attempts and result.unique_id not in no_record
        }
        records = await self._read(set(paths.values()))
        self.missing = [unique_id for unique_id, path in paths.items() if path not in records]
        known = {unique_id: records[path] for unique_id, path in paths.items() if path in records}
        completed = completed_nodes(results, known, behind, behind_if_failed)
        batched = [result.unique_id for result in results if result.batch_results is not None]
        if not batched or not with_batches:
            return completed
        batches = await self._batches(batched)
        return [replace(each, batches=batches.get(each.result.unique_id, ())) for each in completed]

    async def _batches(self, unique_ids: Collection[str]) -> dict[str, list[bytes]]:
        """The records of the batches of models, each of its last attempt; what is not there is left out."""
        await self._late.settle(self._records, self._late.patience.missing_secs)
        by_folder = {f"{self._root}/{_batches_path(unique_id)}": unique_id for unique_id in unique_ids}
        last: dict[str, tuple[int, str]] = {}
        try:
            for file in await self._store.list_files(f"{self._root}/{BATCHES}"):
                batch, _, attempt = file.path.removesuffix(".json").rpartition(".")
                if attempt.isdecimal():  # not what a folder has while a file is being written
                    last[batch] = max(last.get(batch, (0, "")), (int(attempt), file.path))
        except DbtTemporalError as error:
            logger.warning("the records of batches of run %s cannot be read: %s", self._root, error.message)
        contents = await self._store.read_many(sorted(path for _, path in last.values()))
        found: dict[str, list[bytes]] = {}
        for path, content in contents.items():
            unique_id = by_folder.get(path.rpartition("/")[0])
            if unique_id is not None:
                found.setdefault(unique_id, []).append(content)
        return found

    async def _read(self, paths: set[str]) -> dict[str, bytes]:
        """What is there, and what a worker is still writing."""
        records = await self._store.read_many(sorted(paths))
        patience = self._late.patience
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + patience.missing_secs, patience.late_step_secs
        while len(records) < len(paths) and loop.time() < deadline:
            await self._late.settle(self._records, deadline - loop.time())
            await asyncio.sleep(pause)
            pause *= 2
            records |= await self._store.read_many(sorted(paths - records.keys()))
        return records

    async def write(self, name: str, content: bytes) -> str:
        """Writes an artifact and returns its location. Raises ArtifactStore errors."""
        return await self._store.write(f"{self._root}/{name}", content)

    async def upload(self, name: str, file: Path) -> str:
        """Writes an artifact from a file of this machine and returns its location. Raises ArtifactStore errors."""
        return await self._store.upload(f"{self._root}/{name}", file)

    async def forget_records(self) -> None:
        """Deletes the records, once the artifacts hold what they held."""
        self._late.forget(self._records)
        try:
            await self._store.delete(self._records)
        except DbtTemporalError as error:
            logger.warning("the records of run %s could not be deleted: %s", self._root, error.message)


def completed_nodes(
    results: Sequence[NodeExecutionResult],
    records: Mapping[str, bytes],
    behind: Mapping[str, str] | None,
    behind_if_failed: Mapping[str, str],
) -> list[CompletedNode]:
    """Results with the records that there are, by unique_id; the last two as in `AfterRunInput`."""
    return [
        CompletedNode(
            result,
            records.get(result.unique_id, b""),
            behind=None if behind is None else behind.get(result.unique_id, ""),
            behind_if_failed=behind_if_failed.get(result.unique_id, ""),
        )
        for result in results
    ]


def _record_path(unique_id: str, attempt: int, part: str = "") -> str:
    if part:
        return f"{_batches_path(unique_id)}/{safe_name(part)}.{attempt}.json"
    return f"records/{safe_name(unique_id)}.{attempt}.json"


def _batches_path(unique_id: str) -> str:
    return f"{BATCHES}/{safe_name(unique_id)}"
