"""Selections of these nodes and no others. Many do not fit into a command line, so dbt is given them as the nodes of an
earlier run that have failed.

Checked on dbt-fusion 2.0.0-preview.190: `result:` finds nodes of all kinds, sources too, and needs no manifest; a file
that lacks any of the fields below is as good as none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from dbt_temporal.adapters.dbt_v2 import command_line

MAX_CHARS = 100_000
"""Of ids in a command line: Linux takes 2 MiB of it and the environment together, others less."""
_STATUS = "error"
_SCHEMA = "https://schemas.getdbt.com/dbt/run-results/v6.json"
_STATE = "--state"


def is_too_long(unique_ids: Collection[str]) -> bool:
    """Whether so many are not to be words."""
    return sum(len(unique_id) + 1 for unique_id in unique_ids) > MAX_CHARS


def by_file(unique_ids: Collection[str], folder: Path, state_words: Sequence[str]) -> list[str]:
    """The words that select these nodes by a file.

    Args:
        unique_ids: the nodes.
        folder: where the file goes.
        state_words: those of the artifacts that the run's input names; here the file takes the place of its `--state`,
            which is of use for selections alone.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made_by = {"dbt_version": "", "generated_at": datetime.now(UTC).isoformat(), "invocation_id": "", "env": {}}
    document = {
        "metadata": {"dbt_schema_version": _SCHEMA, **made_by},
        "results": [_result(unique_id) for unique_id in sorted(unique_ids)],
        "elapsed_time": 0.0,
        "args": {"command": "build", "which": "build", "__other__": {}},
    }
    (folder / "run_results.json").write_bytes(orjson.dumps(document))
    words = list(state_words)
    if _STATE in words:
        place = words.index(_STATE)
        del words[place : place + 2]
    return [*command_line.indirect("empty"), "--select", f"result:{_STATUS}", _STATE, str(folder), *words]


def _result(unique_id: str) -> dict[str, Any]:
    return {
        "unique_id": unique_id,
        "status": _STATUS,
        "timing": [],
        "thread_id": "",
        "execution_time": 0.0,
        "adapter_response": {},
        "message": None,
        "failures": None,
    }
