"""The SQL of a run's nodes in one file."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

from dbt_temporal.application.stored.run_files import RunFiles
from dbt_temporal.application.stored.sql_archive import is_sql, store_sql, write_archive
from dbt_temporal.testing import InMemoryArtifactStore

SQL = {
    "run/shop/models/orders.sql": "create table orders as (select 'ä' as id)",
    "compiled/shop/models/orders.sql": "select 'ä' as id",
    "compiled/shop/models/_shop.yml/not_null_orders_id.sql": "select 1\n\nwhere true\n",
}


def files_in(folder: Path, mtime: int) -> dict[str, Path]:
    for name, text in SQL.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        os.utime(folder / name, (mtime, mtime))
    return {name: folder / name for name in SQL}


async def test_a_run_that_has_none_has_no_archive() -> None:
    store = InMemoryArtifactStore()
    assert await store_sql({}, RunFiles(store, "run")) is None
    assert store.files == {}


async def test_the_same_files_make_the_same_archive_whenever_they_were_written(tmp_path: Path) -> None:
    store = InMemoryArtifactStore()
    assert await store_sql(files_in(tmp_path / "a", 0), RunFiles(store, "run")) == "memory://run/sql.zip"
    stored = store.files["run/sql.zip"]
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == SQL
        assert archive.namelist() == sorted(SQL)
        assert archive.testzip() is None
    backwards = dict(reversed(files_in(tmp_path / "b", 1_700_000_000).items()))
    write_archive(backwards, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == stored


def test_artifacts_of_other_names_are_no_sql() -> None:
    names = ["compiled/a.sql", "run/a/b.sql", "run_results.json", "compiled", "assets/run/x", "manifest.json"]
    assert [name for name in names if is_sql(name)] == names[:2]
