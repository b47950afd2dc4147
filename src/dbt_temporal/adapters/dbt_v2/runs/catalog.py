"""catalog.json of a run: what dbt v2 writes with `--write-catalog`.

It asks the database of all relations of the project, whatever is selected, before hooks and nodes run. So the catalog
of what a run has built is made when that has ended, by `parse`, which runs none of these.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import orjson

from dbt_temporal.adapters.dbt_v2.commands import V2Commands, V2Project
from dbt_temporal.adapters.dbt_v2.helper import SESSION_VARIABLE, session_name
from dbt_temporal.adapters.dbt_v2.processes.course import LOCK_SECS, LOOK_FOR_LOCK_SECS
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.results import says_locked_out
from dbt_temporal.domain.errors import DbtTemporalError

CATALOG = "catalog.json"
WITHOUT = frozenset({"docs-generate", "list", "parse", "debug", "show", "source-freshness"})
"""Commands after which no catalog is made beside theirs."""
_OWN_NUMBER = 0
"""Processes of the run's command count from 1."""

logger = logging.getLogger("dbt_temporal.engine")


async def left_catalog(processes: Sequence[V2Process]) -> Path | None:
    """The catalog of the last of the run's processes that has written one whole."""
    for process in reversed(processes):
        file = process.target / CATALOG
        if await asyncio.to_thread(_is_whole, file):
            return file
    return None


async def made_catalog(commands: V2Commands, folder: Path, invocation_id: str, project: V2Project) -> Path | None:
    """The catalog of the database as it is now. One that cannot be made costs the run nothing else.

    Args:
        commands: start dbt.
        folder: for the files of the process.
        invocation_id: the run's.
        project: the run's.
    """
    named = project.with_variable(SESSION_VARIABLE, session_name(invocation_id, _OWN_NUMBER))
    words = ["parse", "--write-catalog", "--invocation-id", invocation_id, "--write-json"]
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOCK_SECS
    while True:
        try:
            process = await commands.run(folder, words, named, "making the catalog")
        except DbtTemporalError as error:
            if says_locked_out(error.message) and loop.time() < deadline:
                await asyncio.sleep(LOOK_FOR_LOCK_SECS)
                continue
            logger.warning("%s of run %s is left out: %s", CATALOG, invocation_id, error.message)
            return None
        return await left_catalog([process])


def _is_whole(file: Path) -> bool:
    try:
        orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return True
