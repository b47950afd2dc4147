"""The SQL of a run's nodes in one file, `sql.zip`: `compiled/` and `run/` as dbt's target folder has them.

An object for each file would be two requests a node, at each run's end and again when it is deleted.
"""

from __future__ import annotations

import asyncio
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from dbt_temporal.application.stored.run_files import RunFiles

SQL_FILE = "sql.zip"
SQL_FOLDERS = ("compiled/", "run/")
MISSING = "MISSING.txt"
"""Names the nodes whose files an engine cannot have, a line each, where there are any."""
_ANY_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that the format knows. With one time for all, the same files make the same archive."""
_MODE = 0o100644 << 16


def is_sql(name: str) -> bool:
    """Whether an artifact is one of these files, by its path within the target folder."""
    return name.startswith(SQL_FOLDERS) or name == MISSING


def missing_in(sql: Mapping[str, Path]) -> str | None:
    """What is said of nodes whose files are not there; None where all are."""
    if MISSING not in sql:
        return None
    nodes = sql[MISSING].read_text(encoding="utf-8").split()
    some = ", ".join(nodes[:5]) + (", ..." if len(nodes) > 5 else "")
    return f"nothing is known of {len(nodes)} nodes, which ran on another machine: {some}"


async def store_sql(sql: Mapping[str, Path], files: RunFiles) -> str | None:
    """Stores them, and says where; None where there are none.

    Raises:
        DbtTemporalError: of type ArtifactStore.
        OSError: they cannot be read, or the archive cannot be written here.
    """
    if not sql:
        return None
    with tempfile.TemporaryDirectory(prefix="dbt-temporal-sql-") as folder:
        archive = Path(folder) / SQL_FILE
        await asyncio.to_thread(write_archive, sql, archive)
        return await files.upload(SQL_FILE, archive)


def write_archive(sql: Mapping[str, Path], archive: Path) -> None:
    """Packs files under their names. One of them at a time is in memory."""
    with zipfile.ZipFile(archive, "w") as packed:
        for name in sorted(sql):
            entry = zipfile.ZipInfo(name, _ANY_TIME)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _MODE
            packed.writestr(entry, sql[name].read_bytes())
