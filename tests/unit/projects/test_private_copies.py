from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dbt_temporal.adapters.private_copies import publish, remove_unused, unfinished_copy, use_copy


def make(copy: Path, text: str = "x") -> None:
    with unfinished_copy(copy.parent) as folder:
        (folder / "file").write_text(text)
        publish(folder, copy)


def made_elsewhere(copy: Path) -> None:
    """A copy that another process has made and uses no more."""
    script = (
        "from pathlib import Path; from dbt_temporal.adapters.private_copies import *\n"
        f"with unfinished_copy(Path({str(copy.parent)!r})) as folder: publish(folder, Path({str(copy)!r}))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_copy_is_there_whole_once_it_is_published(tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "one"
    assert not use_copy(copy)
    make(copy)
    assert use_copy(copy)
    assert (copy / "file").read_text() == "x"


def test_the_first_to_publish_wins(tmp_path: Path) -> None:
    make(tmp_path / "one", "first")
    make(tmp_path / "one", "second")
    assert (tmp_path / "one" / "file").read_text() == "first"


def test_what_is_not_published_is_removed(tmp_path: Path) -> None:
    with unfinished_copy(tmp_path) as folder:
        (folder / "file").write_text("x")
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    script = (
        "import os; from pathlib import Path; from dbt_temporal.adapters.private_copies import unfinished_copy\n"
        f"with unfinished_copy(Path({str(tmp_path)!r})) as folder: os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(os.listdir(tmp_path)) == 2  # the folder and its lock
    with unfinished_copy(tmp_path) as ours:
        remove_unused(tmp_path)
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == [ours]
    assert os.listdir(tmp_path) == []


def test_copies_that_nobody_uses_are_removed_and_the_others_stay(tmp_path: Path) -> None:
    made_elsewhere(tmp_path / "old")
    make(tmp_path / "used")
    remove_unused(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["used"]


def test_copies_that_were_used_lately_stay_where_an_age_is_given(tmp_path: Path) -> None:
    made_elsewhere(tmp_path / "fresh")
    remove_unused(tmp_path, older_than_secs=3600)
    assert (tmp_path / "fresh").is_dir()


def test_a_copy_that_another_process_uses_stays(tmp_path: Path) -> None:
    make(tmp_path / "used")
    script = (
        "from pathlib import Path; from dbt_temporal.adapters.private_copies import remove_unused\n"
        f"remove_unused(Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert (tmp_path / "used").is_dir()
