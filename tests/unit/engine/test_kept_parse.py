from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.process.parsing import kept_parse
from dbt_temporal.adapters.dbt_core.process.parsing.kept_parse import KeptParse
from dbt_temporal.domain.run.commands import Command
from dbt_temporal.domain.run.input import DbtRunInput


def parse(
    folder: Path, target: dict[str, str], writes: str, *, command: Command = "build", flags: tuple[str, ...] = ()
) -> str | None:
    """A parse with a target that reads flags and leaves a file. Returns what it started from."""
    used = folder / "target" / "partial_parse.msgpack"
    kept = KeptParse(folder / "shop.msgpack", used, DbtRunInput(command=command))
    used.parent.mkdir(exist_ok=True)
    kept.fetch(target)
    found = used.read_text() if used.exists() else None
    used.write_text(writes)
    kept.keep(flags)
    return found


def test_a_parse_starts_from_the_file_of_its_own_target(tmp_path: Path) -> None:
    assert parse(tmp_path, {"name": "dev"}, "of dev") is None
    assert parse(tmp_path, {"name": "prod"}, "of prod") is None
    assert parse(tmp_path, {"name": "dev"}, "of dev again") == "of dev"


def test_a_parse_that_read_flags_serves_those_that_give_them_the_same_values(tmp_path: Path) -> None:
    assert parse(tmp_path, {}, "of build", flags=("which",)) is None
    assert parse(tmp_path, {}, "of run", command="run") is None
    assert parse(tmp_path, {}, "of build again") == "of build"
    assert parse(tmp_path, {}, "of run again", command="run") == "of run"


def test_a_parse_that_read_flags_which_no_run_gives_serves_all(tmp_path: Path) -> None:
    assert parse(tmp_path, {}, "of build", flags=("profiles_dir",)) is None
    assert parse(tmp_path, {}, "of run", command="run") == "of build"


def test_nobody_else_may_read_what_is_kept(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        parse(tmp_path, {}, "of build", flags=("which",))
        parse(tmp_path, {}, "of build", flags=("which",))
    finally:
        os.umask(before)
    files = [*tmp_path.glob("*.msgpack"), *tmp_path.glob("*.flags")]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600", "0o600"]


def test_the_files_that_were_used_longest_ago_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_parse, "MAX_KEPT_FILES", 2)
    for number in range(4):
        parse(tmp_path, {"name": str(number)}, str(number))
        for age, file in enumerate(sorted(tmp_path.glob("*.msgpack"), key=lambda file: file.read_text())):
            os.utime(file, (1000 + 10 * number + age, 1000 + 10 * number + age))
    assert sorted(file.read_text() for file in tmp_path.glob("*.msgpack")) == ["2", "3"]
