"""Folders that we fill once, use as long as a process needs them, and remove when nobody does.

A copy appears whole or not at all (it is filled under another name and renamed), so whoever finds one may use it.
Whoever uses a copy holds a shared lock on a file beside it, which the operating system lets go of with the process;
nobody removes a copy whose lock is held, so several workers may share a cache folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dbt_temporal.adapters.project_files import CACHE_MARK

_UNFINISHED = "unfinished-"
_LOCK = ".lock"
_held: dict[Path, int] = {}


def mark_cache(folder: Path) -> None:
    """Says that a folder is a cache (bford.info/cachedir): backups leave it out, and `project_files` does where it lies
    in a project."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark = folder / CACHE_MARK
    if not mark.exists():
        mark.write_text("Signature: 8a477f597d28d172789f06886806bc55\n# The cache of dbt-temporal.\n", encoding="utf-8")


def use_copy(copy: Path) -> bool:
    """Holds a copy until this process ends. False where there is none."""
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _hold(copy)
    return copy.is_dir()


def note_use(copy: Path) -> None:
    """Says that a copy which this process holds is used now, for `remove_unused`."""
    if copy in _held:
        os.utime(_held[copy])


def let_go(copy: Path) -> None:
    """Holds a copy no more."""
    descriptor = _held.pop(copy, None)
    if descriptor is not None:
        os.close(descriptor)


def remove_lock(copy: Path) -> None:
    """Removes the lock of a copy that is gone, and whose name nobody will use again."""
    _lock_of(copy).unlink(missing_ok=True)


@contextlib.contextmanager
def unheld(copy: Path) -> Iterator[int | None]:
    """Keeps others from beginning to use a copy, and gives the descriptor of its lock; None where one holds it."""
    lock = os.open(_lock_of(copy), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield lock
    finally:
        os.close(lock)


@contextlib.contextmanager
def unfinished_copy(parent: Path) -> Iterator[Path]:
    """An empty folder of this process alone, which may be filled and then `publish`ed; else it goes with the block."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=_UNFINISHED))
    lock = _hold(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(_held.pop(folder))


def publish(folder: Path, copy: Path) -> None:
    """Makes a filled folder the copy, at once. Where another process was faster, its copy stays."""
    _hold(copy)
    try:
        folder.rename(copy)
    except OSError:
        if not copy.is_dir():
            raise


def remove_unused(parent: Path, older_than_secs: float = 0.0) -> None:
    """Removes the copies below `parent` that no process holds, and that none has begun to use for that long."""
    limit = time.time() - older_than_secs
    for folder in [entry for entry in parent.iterdir() if entry.is_dir()]:
        with unheld(folder) as lock:
            if lock is not None and os.fstat(lock).st_mtime <= limit:
                shutil.rmtree(folder, ignore_errors=True)
                if folder.name.startswith(_UNFINISHED):  # a name that nobody will use again
                    remove_lock(folder)


def _hold(copy: Path) -> Path:
    lock = _lock_of(copy)
    if copy not in _held:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(lock)
        _held[copy] = descriptor
    return lock


def _lock_of(copy: Path) -> Path:
    return copy.with_name(copy.name + _LOCK)
