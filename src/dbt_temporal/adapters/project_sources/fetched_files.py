"""What must not be among fetched files: links that lead out of them, and pointers of Git LFS in place of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LARGEST_POINTER = 1024
"""Git LFS's own limit, in bytes."""
_SHOWN = 3


def link_out_of(folder: Path) -> tuple[str, str] | None:
    """The path of the first link below a folder that leads out of it, be it by way of others, and its target."""
    root = folder.resolve()
    for path in _entries(folder):
        # `Path.resolve` raises at a link that leads to itself (Python 3.11); it leads nowhere, as in any clone.
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
            return str(path.relative_to(folder)), os.readlink(path)
    return None


def lfs_pointers(folder: Path) -> list[str]:
    """The paths of the files below a folder that hold a pointer of Git LFS instead of their content."""
    return [str(path.relative_to(folder)) for path in _entries(folder) if not path.is_symlink() and _is_pointer(path)]


def some_of(paths: list[str]) -> str:
    """The first of many paths, and how many more there are, for a message."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{', '.join(paths[:_SHOWN])}{more}"


def _is_pointer(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size >= _LARGEST_POINTER:
        return False
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _entries(folder: Path) -> Iterator[Path]:
    """Files and links below a folder, in the order of their names."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (
            Path(root, name) for name in sorted([*names, *folders]) if name in names or Path(root, name).is_symlink()
        )
