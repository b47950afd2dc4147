"""`dbt-temporal artifacts prune`: deletes what old runs have stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.temporal.listing import open_runs
from dbt_temporal.application.stored.retention import UNKNOWN, Gone, Retention, Rule, chosen
from dbt_temporal.entrypoints.cli.operators.runs import connected
from dbt_temporal.entrypoints.cli.shown.rows import print_rows
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.entrypoints.exit_codes import SUCCESS
from dbt_temporal.entrypoints.settings import read_settings

AT_ONCE = 8
_HEADER = ("PROJECT", "TARGET", "COMMAND", "ENDED", "STATUS", "FILES", "SIZE", "INVOCATION ID")
_UNITS = ("B", "kB", "MB", "GB")


async def prune_store(target: Target, place: str | None, rule: Rule, dry_run: bool, out: Console) -> int:
    """Deletes what runs have stored that a rule lets go, or says what would go. Returns the exit code.

    Raises:
        DbtTemporalError: of type Configuration, where the server does not say which runs go on, or the store not which
            ones are the latest; of type ArtifactStore.
    """
    root = place or read_settings(target.environ).artifacts.store
    store = Retention(FsspecArtifactStore(root, target.environ))
    # In this order: what has ended meanwhile, and what has become the latest, is not among what was found before.
    runs = await store.runs(with_unknown=rule.older_than is not None)
    going_on = await open_runs(await connected(target))
    going = chosen(runs, rule, datetime.now(UTC), await store.named(), going_on)
    if dry_run:
        found = await store.measured(going)
        if found:
            print_rows(out, _HEADER, [_row(each) for each in found])
        _print(out, f"{_told(found)} of {len(runs)} would go from {root}.")
        return SUCCESS
    gone: list[Gone] = []
    for begin in range(0, len(going), AT_ONCE):
        for each in await asyncio.gather(*(store.delete(run) for run in going[begin : begin + AT_ONCE])):
            gone.append(each)
            _print(out, "deleted  " + "  ".join(text.plain for text in _row(each)))
    _print(out, f"{_told(gone)} of {len(runs)} went from {root}.")
    return SUCCESS


def _row(gone: Gone) -> list[Text]:
    run, about = gone.run, gone.run.about
    command, status = (UNKNOWN, UNKNOWN) if about is None else (about.command, "passed" if about.success else "failed")
    return [
        *(Text(name) for name in run.group),
        Text(command),
        Text(f"{run.ended_at.astimezone():%Y-%m-%d %H:%M}"),
        Text(status),
        Text(f"{gone.files}"),
        Text(_size(gone.size)),
        Text(run.invocation_id),
    ]


def _told(gone: Sequence[Gone]) -> str:
    files, size = sum(each.files for each in gone), sum(each.size for each in gone)
    return f"{len(gone)} runs ({files} files, {_size(size)})"


def _size(size: float) -> str:
    unit = _UNITS[0]
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == _UNITS[0] else f"{size:.1f} {unit}"


def _print(out: Console, text: str) -> None:
    out.print(Text(text), soft_wrap=True)
