"""Which runs go from the artifact store, and how they go.

What a run keeps lies in its own folder, below its invocation id; `run.json` there says whose it is. It goes last, so
that a run of which half is deleted is still known, and the next one who prunes deletes the rest.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dbt_temporal.application.ports.artifact_store import ArtifactStore, StoredFile
from dbt_temporal.application.stored.earlier_runs import NEWEST
from dbt_temporal.application.stored.latest import DEPLOYING, LATEST, WHOSE, read_run
from dbt_temporal.domain.dates.logical_dates import in_utc
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.domain.run.invocation import is_invocation_id

UNKNOWN = "?"
"""Stands for what nobody knows of a run, such as one of a release that wrote no `run.json`."""
UNKNOWN_STAYS = timedelta(days=1)
"""So long what has no `run.json` stays at least: its run may go on, or have its artifacts stored later."""
_LISTED_AT_ONCE = 8
_FOLDERS_OF_RUNS = frozenset({"assets", "compiled", "logs", "records", "state"})
_FILES_OF_RUNS = frozenset(
    {f"{name}.json" for name in ("catalog", "dates", "manifest", "run_results", "semantic_manifest", "sources")}
    | {"index.html", "log.txt", "report.html", "sql.zip", "static_index.html", WHOSE}
)
"""What releases without `run.json` have stored as well. Others give their folders such ids, too, and may have the same
bucket; what is in theirs is something else."""


@dataclass(frozen=True)
class StoredRun:
    """A run of which the store has a folder.

    Attributes:
        invocation_id: its folder's name.
        about: what `run.json` says; None where there is none that can be read.
        ended_at: when it ended; of a run without `run.json`, when the last of its files was written.
    """

    invocation_id: str
    about: LatestRun | None
    ended_at: datetime

    @property
    def group(self) -> tuple[str, str]:
        """Project and target."""
        return (UNKNOWN, UNKNOWN) if self.about is None else (self.about.project, self.about.target)


@dataclass(frozen=True)
class Rule:
    """What may go: what is neither among the newest of its project and target, nor young.

    Attributes:
        keep: how many of a project and target stay; None: none for their number.
        older_than: what has ended since so long stays; None: nothing for its age.
        project: runs of this one alone, by name; None for all.
        target: runs for this one alone; None for all.
    """

    keep: int | None = None
    older_than: timedelta | None = None
    project: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class Gone:
    """A run that went, or would.

    Attributes:
        run: which one.
        files: how many it has.
        size: of all, in bytes.
    """

    run: StoredRun
    files: int
    size: int


@dataclass(frozen=True)
class OpenRuns:
    """The runs that go on.

    Attributes:
        invocation_ids: theirs, and those of the earlier runs whose artifacts they read (retry, state, defer).
        since: when the first of them began; None where there are none.
    """

    invocation_ids: frozenset[str] = frozenset()
    since: datetime | None = None


def chosen(
    runs: Iterable[StoredRun], rule: Rule, now: datetime, named: Collection[str], open_runs: OpenRuns
) -> list[StoredRun]:
    """The runs that go by a rule, the oldest first.

    Never those that `named` has, that go on, or that a run which goes on may have found as the latest when it began. A
    run of which nobody knows whose it is goes by its age alone, and by no rule about a project or target.

    Args:
        runs: all that there are.
        rule: what may go.
        now: the time.
        named: invocation ids that the store's addresses name.
        open_runs: those that go on.
    """
    groups: defaultdict[tuple[str, str], list[StoredRun]] = defaultdict(list)
    for run in runs:
        groups[run.group].append(run)
    going = []
    for group in groups.values():
        in_use = {*named, *open_runs.invocation_ids, *_may_be_in_use(group, open_runs.since)}
        newest_first = sorted(group, key=lambda run: (run.ended_at, run.invocation_id), reverse=True)
        if rule.keep is not None:
            newest_first = newest_first[rule.keep :]
        going += [run for run in newest_first if run.invocation_id not in in_use and _may_go(run, rule, now)]
    return sorted(going, key=lambda run: (run.ended_at, run.invocation_id))


def _may_go(run: StoredRun, rule: Rule, now: datetime) -> bool:
    if run.about is None:
        whose_ever = rule.project is None and rule.target is None
        return whose_ever and rule.older_than is not None and run.ended_at < now - max(rule.older_than, UNKNOWN_STAYS)
    if rule.project not in (None, run.about.project) or rule.target not in (None, run.about.target):
        return False
    return rule.older_than is None or run.ended_at < now - rule.older_than


def _may_be_in_use(group: Sequence[StoredRun], since: datetime | None) -> set[str]:
    """Those that `latest` has meant since then: all that have ended since, and of those before the last one, the last
    one that deployed (ARTIFACT_LATEST=always), and the last one that did so well."""
    if since is None:
        return set()
    before = [run for run in group if run.ended_at < since]
    deployed = [run for run in before if run.about is not None and run.about.command in DEPLOYING]
    well = [run for run in deployed if run.about is not None and run.about.success]
    last = {max(runs, key=lambda run: run.ended_at).invocation_id for runs in (before, deployed, well) if runs}
    return last | {run.invocation_id for run in group if run.ended_at >= since}


class Retention:
    """Finds runs in a store, and deletes them. Raises ArtifactStore errors."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def runs(self, *, with_unknown: bool) -> list[StoredRun]:
        """All runs of the store; those without a `run.json` only if they are asked for, as all files of each are listed
        for the time of the last. A folder with anything in it that no run stores is none."""
        ids = [name for name in await self._store.list_folders("") if is_invocation_id(name)]
        found = await self._store.read_many([f"{invocation_id}/{WHOSE}" for invocation_id in ids])
        known, unknown = [], []
        for invocation_id in ids:
            about = read_run(found.get(f"{invocation_id}/{WHOSE}"))
            if about is None or about.invocation_id != invocation_id:
                unknown.append(invocation_id)
            else:
                known.append(StoredRun(invocation_id, about, in_utc(about.ended_at)))
        if with_unknown:
            async for invocation_id, files in self._listed(unknown):
                place = f"{invocation_id}/{WHOSE}"
                is_unread = place not in found and any(file.path == place for file in files)
                if files and not is_unread and all(_is_of_run(file, invocation_id) for file in files):
                    last = max(file.modified for file in files)
                    known.append(StoredRun(invocation_id, None, datetime.fromtimestamp(last, UTC)))
        return known

    async def named(self) -> set[str]:
        """The runs that the addresses name by which runs are found: `latest/<project>/<target>` and `newest/<project>`.

        Raises:
            DbtTemporalError: also of type Configuration, where one of the addresses cannot be read: what it names could
                go.
        """
        places = [file.path for folder in (LATEST, NEWEST) for file in await self._store.list_files(folder)]
        named = set()
        # Releases before these have the newest run of a project in `latest/<project>`.
        for path in (each for each in places if each.count("/") == 1):
            named.add((await self._store.read(path) or b"").decode(errors="replace"))
        for folder in {each.rpartition("/")[0] for each in places if each.count("/") > 1}:
            about = read_run(await self._store.read(f"{folder}/{WHOSE}"))
            if about is None:
                raise configuration_error(
                    f"{self._store.location(folder)} does not say in {WHOSE} which run is the latest, so nothing is "
                    "deleted: build that target once more, or delete the folder"
                )
            named.add(about.invocation_id)
        return named

    async def measured(self, runs: Sequence[StoredRun]) -> list[Gone]:
        """What would go with runs."""
        by_id = {run.invocation_id: run for run in runs}
        found = {}
        async for invocation_id, files in self._listed(list(by_id)):
            found[invocation_id] = Gone(by_id[invocation_id], len(files), sum(file.size for file in files))
        return [found[invocation_id] for invocation_id in by_id]

    async def delete(self, run: StoredRun) -> Gone:
        """Deletes what a run has stored, and says what that was. May be repeated."""
        folder = run.invocation_id
        files = await self._store.list_files(folder)
        entries = {file.path.removeprefix(f"{folder}/").partition("/")[0] for file in files} - {WHOSE}
        await asyncio.gather(*(self._store.delete(f"{folder}/{entry}") for entry in sorted(entries)))
        await self._store.delete(folder)
        return Gone(run, len(files), sum(file.size for file in files))

    async def _listed(self, invocation_ids: Sequence[str]) -> AsyncIterator[tuple[str, list[StoredFile]]]:
        for begin in range(0, len(invocation_ids), _LISTED_AT_ONCE):
            some = invocation_ids[begin : begin + _LISTED_AT_ONCE]
            listed = await asyncio.gather(*(self._store.list_files(invocation_id) for invocation_id in some))
            for invocation_id, files in zip(some, listed, strict=True):
                yield invocation_id, files


def _is_of_run(file: StoredFile, invocation_id: str) -> bool:
    first, below, _ = file.path.removeprefix(f"{invocation_id}/").partition("/")
    if first.startswith("."):  # left behind by a worker that was killed while it wrote
        return not below
    return first in (_FOLDERS_OF_RUNS if below else _FILES_OF_RUNS)
