"""What is taken from archives, and what is refused: they come from elsewhere, and nothing of them is believed."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dbt_temporal.adapters.project_sources.archives import ArchiveError, is_archive, unpack
from dbt_temporal.adapters.project_sources.limits import TooLargeError

LIMIT = 1_000_000
FILES = {"dbt_project.yml": "name: shop\n", "models/one.sql": "select 1"}
Make = Callable[..., bytes]


def zipped(files: Mapping[str, str], links: Mapping[str, str] | None = None) -> bytes:
    """A zip of files, and of links as zip has them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
    return content.getvalue()


def tarred(files: Mapping[str, str], links: Mapping[str, str] | None = None, kind: bytes = tarfile.SYMTYPE) -> bytes:
    """A tar.gz of files and links. The links come first, where they are the most trouble."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


@pytest.fixture(params=[zipped, tarred], ids=["zip", "tar.gz"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an archive of each kind."""
    kind: Make = request.param
    return kind


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[bytes], Path]:
    """Unpacks; returns the folder."""

    def unpack_it(content: bytes, limit: int = LIMIT) -> Path:
        archive = tmp_path / "archive"
        archive.write_bytes(content)
        folder = tmp_path / "deep" / "files"
        folder.parent.mkdir(exist_ok=True)
        unpack(archive, "a.zip" if content.startswith(b"PK") else "a.tar.gz", folder, limit)
        return folder

    return unpack_it


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("root", ["", "./", "shop-1f3a/"])
def test_files_are_unpacked_from_the_top_or_from_the_one_folder_that_holds_them(
    make: Make, unpacked: Callable[[bytes], Path], root: str
) -> None:
    assert texts(unpacked(make({f"{root}{name}": text for name, text in FILES.items()}))) == FILES


def test_several_folders_stay_as_they_are(make: Make, unpacked: Callable[[bytes], Path]) -> None:
    files = {"a/dbt_project.yml": "name: a", "b/dbt_project.yml": "name: b"}
    assert texts(unpacked(make(files))) == files


def test_what_tools_and_macs_made_is_left_out(make: Make, unpacked: Callable[[bytes], Path]) -> None:
    made = {"target/manifest.json": "{}", ".git/config": "", "__MACOSX/._dbt_project.yml": "x", "venv/bin/python": "x"}
    assert texts(unpacked(make({**FILES, "models/target/two.sql": "select 2", **made}))) == {
        **FILES,
        "models/target/two.sql": "select 2",
    }


@pytest.mark.parametrize("name", ["../outside.sql", "models/../../outside.sql", "/outside.sql", "models\\outside.sql"])
def test_an_entry_that_climbs_out_is_refused_with_its_name(
    make: Make, unpacked: Callable[[bytes], Path], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ArchiveError, match=r"outside\.sql' is no path below the archive's root"):
        unpacked(make({**FILES, name: "x"}))
    assert "outside.sql" not in {path.name for path in tmp_path.rglob("*")}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "models/../../../secret"])
def test_a_link_that_leads_out_is_refused_with_its_name(
    make: Make, unpacked: Callable[[bytes], Path], target: str
) -> None:
    with pytest.raises(ArchiveError, match=f"the file 'models/two.sql' is a link to '{target}', outside"):
        unpacked(make(FILES, {"models/two.sql": target}))


def test_links_inside_are_kept(make: Make, unpacked: Callable[[bytes], Path]) -> None:
    folder = unpacked(make({**FILES, "shared/two.sql": "select 2"}, {"models/two.sql": "../shared/two.sql"}))
    assert os.readlink(folder / "models" / "two.sql") == "../shared/two.sql"
    assert (folder / "models" / "two.sql").read_text() == "select 2"


def test_a_link_to_itself_leads_nowhere_and_out_of_nothing(make: Make, unpacked: Callable[[bytes], Path]) -> None:
    folder = unpacked(make(FILES, {"models/loop.sql": "loop.sql"}))
    assert os.readlink(folder / "models" / "loop.sql") == "loop.sql"


def test_nothing_is_written_through_a_link(make: Make, unpacked: Callable[[bytes], Path], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(ArchiveError):
        unpacked(make({**FILES, "way/two.sql": "x"}, {"way": str(outside)}))
    archive = tmp_path / "links"
    archive.write_bytes(make(FILES, {"way": str(outside), "way/two": "one"}))
    with pytest.raises(ArchiveError, match="'way/two' lies below a link"):
        unpack(archive, "a.zip" if make is zipped else "a.tgz", tmp_path / "files", LIMIT)
    assert list(outside.iterdir()) == []


def test_hard_links_of_a_tar_are_files_and_lost_ones_are_refused(unpacked: Callable[[bytes], Path]) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("models/two.sql")
        link.type, link.linkname = tarfile.LNKTYPE, "models/one.sql"
        archive.addfile(link)
    assert texts(unpacked(content.getvalue())) == {**FILES, "models/two.sql": "select 1"}


def test_a_hard_link_to_what_is_not_in_the_archive_is_refused(unpacked: Callable[[bytes], Path]) -> None:
    with pytest.raises(ArchiveError, match="/etc/passwd"):
        unpacked(tarred(FILES, {"models/two.sql": "/etc/passwd"}, tarfile.LNKTYPE))


def test_devices_and_pipes_are_refused(unpacked: Callable[[bytes], Path]) -> None:
    with pytest.raises(ArchiveError, match=r"'models/pipe\.sql' is neither a file, a folder nor a link"):
        unpacked(tarred(FILES, {"models/pipe.sql": ""}, tarfile.FIFOTYPE))


def test_bytes_are_counted_while_they_are_unpacked_whatever_the_archive_says(
    make: Make, unpacked: Callable[[bytes], Path], tmp_path: Path
) -> None:
    with pytest.raises(TooLargeError):
        unpacked(make({**FILES, "seeds/bomb.csv": "0" * 50_000_000}))
    assert sum(path.stat().st_size for path in (tmp_path / "deep").rglob("*")) < 3 * LIMIT


def test_there_is_an_end_to_empty_files(make: Make, unpacked: Callable[[bytes], Path]) -> None:
    with pytest.raises(TooLargeError):
        unpacked(make({f"{number}.sql": "" for number in range(3000)}))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tgz", "a.tar"])
def test_what_is_damaged_is_told(tmp_path: Path, name: str) -> None:
    whole = zipped(FILES) if name.endswith("zip") else tarred(FILES)
    for number, content in enumerate([b"no archive", b"", whole[: len(whole) // 2]]):
        archive = tmp_path / f"{number}"
        archive.write_bytes(content)
        with pytest.raises(ArchiveError):
            unpack(archive, name, tmp_path / f"{number}.files", LIMIT)


def test_a_name_says_what_is_an_archive() -> None:
    assert [
        name for name in ("a.zip", "A.ZIP", "a.tar.gz", "a.tgz", "a.tar", "zip", "a.gz", "a.sql") if is_archive(name)
    ] == [
        "a.zip",
        "A.ZIP",
        "a.tar.gz",
        "a.tgz",
        "a.tar",
    ]
