"""Projects in archives: zip and tar, unpacked so that nothing gets out of the folder that they are unpacked to.

Nothing of an archive is believed: names and links are checked, and bytes are counted while they are written.
"""

from __future__ import annotations

import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import IO

from dbt_temporal.adapters.project_files import without_generated
from dbt_temporal.adapters.project_sources.fetched_files import link_out_of
from dbt_temporal.adapters.project_sources.limits import TooLargeError

ARCHIVES = ".zip, .tar.gz, .tgz or .tar"
_ZIP, _TAR = (".zip",), (".tar.gz", ".tgz", ".tar")
_OF_MACS = "__MACOSX"
_CHUNK = 1024 * 1024
_LONGEST_LINK = 4096
_ENTRY_BYTES = 512
"""What an entry counts for at least, so that there is an end to empty ones."""


class ArchiveError(Exception):
    """An archive that cannot or must not be unpacked; the message says why."""


@dataclass(frozen=True)
class _Entry:
    """A file, or a link to `link`, which is relative to the link's own folder."""

    name: str
    open: Callable[[], IO[bytes] | None]
    link: str | None = None


def is_archive(name: str) -> bool:
    return name.lower().endswith(_ZIP + _TAR)


def unpack(archive: Path, name: str, folder: Path, max_bytes: int) -> None:
    """Unpacks an archive into a new folder, without what tools made. Where all of it lies in one folder that is no
    part of a project's layout, as in those that GitHub and GitLab make, that folder's content is what is unpacked.

    Args:
        archive: the file.
        name: the archive's own name, whose suffix says what it is.
        folder: is made; on an error it may hold a part.
        max_bytes: of all files together.

    Raises:
        ArchiveError: it is damaged, holds a name or a link that leads out of it, or what is no file at all.
        TooLargeError: it holds more than `max_bytes`.
    """
    folder.mkdir()
    try:
        if name.lower().endswith(_ZIP):
            with zipfile.ZipFile(archive) as zipped:
                _unpack(list(_zip_entries(zipped)), folder, max_bytes)
        else:
            with tarfile.open(archive) as tarred:
                _unpack(list(_tar_entries(tarred, max_bytes)), folder, max_bytes)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError) as error:
        raise ArchiveError(f"is no archive that can be read: {error}") from error
    except (RuntimeError, NotImplementedError, KeyError) as error:  # for passwords, unknown compressions, lost links
        raise ArchiveError(f"cannot be unpacked: {error}") from error
    except (OSError, ValueError) as error:
        said = str(error).replace(f"{folder}/", "")
        raise ArchiveError(f"could not be unpacked: {said}") from error
    link = link_out_of(folder)
    if link is not None:
        raise ArchiveError(f"the file {link[0]!r} is a link to {link[1]!r}, outside of the archive; remove it there")


def _unpack(entries: list[_Entry], folder: Path, max_bytes: int) -> None:
    entries = _without_root([entry for entry in entries if entry.name.partition("/")[0] != _OF_MACS])
    kept = frozenset(without_generated(entry.name for entry in entries))
    entries = [entry for entry in entries if entry.name in kept]
    left, root = max_bytes, folder.resolve()
    # Links come last, so that no file is ever written through one; nor is a link.
    for entry in sorted(entries, key=lambda entry: entry.link is not None):
        target = folder / entry.name
        if not target.parent.resolve().is_relative_to(root):
            raise ArchiveError(f"the entry {entry.name!r} lies below a link; make the archive without it")
        target.parent.mkdir(parents=True, exist_ok=True)
        left -= _ENTRY_BYTES
        if entry.link is not None:
            target.symlink_to(entry.link)
        else:
            left = _write(entry, target, left)
        if left < 0:
            raise TooLargeError


def _write(entry: _Entry, target: Path, left: int) -> int:
    """Returns how many bytes are left, or fewer than none, where it stopped for that."""
    source = entry.open()
    if source is None:
        raise ArchiveError(f"the entry {entry.name!r} is a link to what is not in the archive")
    with source, target.open("wb") as file:
        while left >= 0 and (chunk := source.read(_CHUNK)):
            left -= len(chunk)
            file.write(chunk)
    return left


def _without_root(entries: list[_Entry]) -> list[_Entry]:
    """The entries by their names below the one folder that all of them lie in, where there is one."""
    roots = {entry.name.partition("/")[0] for entry in entries}
    if len(roots) != 1 or any("/" not in entry.name for entry in entries):
        return entries
    return [_Entry(entry.name.partition("/")[2], entry.open, entry.link) for entry in entries]


def _zip_entries(zipped: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in zipped.infolist():
        if info.is_dir():
            continue
        mode = info.external_attr >> 16
        name = _checked(info.filename)
        if stat.S_ISLNK(mode):
            yield _Entry(name, lambda: None, zipped.open(info).read(_LONGEST_LINK).decode())
        elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
            yield _Entry(name, lambda info=info: zipped.open(info))  # type: ignore[misc]
        else:
            raise _no_file(name)


def _tar_entries(tarred: tarfile.TarFile, max_bytes: int) -> Iterator[_Entry]:
    left = max_bytes
    for member in tarred:
        left -= _ENTRY_BYTES + max(member.size, 0)
        if left < 0:
            raise TooLargeError
        if member.isdir():
            continue
        name = _checked(member.name)
        if member.issym():
            yield _Entry(name, lambda: None, member.linkname)
        elif member.isreg() or member.islnk():  # of a hard link, tarfile gives the content of the file
            yield _Entry(name, lambda member=member: tarred.extractfile(member))  # type: ignore[misc]
        else:
            raise _no_file(name)


def _checked(name: str) -> str:
    """An entry's name as a path below the folder. Raises ArchiveError where it leads out of it."""
    path = posixpath.normpath(name)
    if name.startswith("/") or path.startswith("../") or path in (".", "..") or "\\" in name or "\0" in name:
        raise ArchiveError(f"the entry {name!r} is no path below the archive's root; make the archive without it")
    return path


def _no_file(name: str) -> ArchiveError:
    return ArchiveError(f"the entry {name!r} is neither a file, a folder nor a link; make the archive without it")
