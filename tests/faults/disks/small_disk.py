"""A disk of a few megabytes, which can be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk at a folder; the test is left out where this user may not mount one."""
    folder.mkdir()
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size={megabytes}m,mode=777"
    done = subprocess.run([*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False)
    if done.returncode != 0:
        pytest.skip("full disks are not tested here: that takes Linux, and a user who may mount a small one")
    try:
        yield folder
    finally:
        # Lazily: a worker that has just ended may still have files there.
        subprocess.run([*as_root, "umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Nothing more can be written to the disk meanwhile."""
    filling = disk / "filling"
    try:
        with filling.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        yield
    finally:
        filling.unlink()
