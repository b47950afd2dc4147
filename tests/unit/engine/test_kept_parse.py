from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.process.parsing import kept_parse
from dbt_temporal.adapters.dbt_core.process.parsing.kept_parse import KeptParse


def parse(folder: Path, target: dict[str, str], writes: str) -> str | None:
    """A parse with a target that leaves a file. Returns what it started from."""
    kept = KeptParse(folder / "shop.msgpack", folder / "target" / "partial_parse.msgpack")
    used = folder / "target" / "partial_parse.msgpack"
    used.parent.mkdir(exist_ok=True)
    kept.fetch(target)
    found = used.read_text() if used.exists() else None
    used.write_text(writes)
    kept.keep()
    return found


def test_a_parse_starts_from_the_file_of_its_own_target(tmp_path: Path) -> None:
    assert parse(tmp_path, {"name": "dev"}, "of dev") is None
    assert parse(tmp_path, {"name": "prod"}, "of prod") is None
    assert parse(tmp_path, {"name": "dev"}, "of dev again") == "of dev"


def test_the_files_that_were_used_longest_ago_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_parse, "MAX_KEPT_FILES", 2)
    for number in range(4):
        parse(tmp_path, {"name": str(number)}, str(number))
        for age, file in enumerate(sorted(tmp_path.glob("*.msgpack"), key=lambda file: file.read_text())):
            os.utime(file, (1000 + 10 * number + age, 1000 + 10 * number + age))
    assert sorted(file.read_text() for file in tmp_path.glob("*.msgpack")) == ["2", "3"]
