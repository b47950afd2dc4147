"""Projects from buckets: moto's S3 and fake-gcs-server."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dbt_temporal.domain.errors import DbtTemporalError
from tests.integration.buckets import S3, Gcs, Storage
from tests.integration.fixtures_buckets import gcs, gcs_endpoint, s3, s3_endpoint, storage
from tests.integration.sources.git_servers import pointer_to
from tests.integration.sources.sources import PROJECT, Worker, files_below
from tests.unit.projects.test_archives import tarred, zipped

__all__ = ["gcs", "gcs_endpoint", "s3", "s3_endpoint", "storage"]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path / "cache")


def put(storage: Storage, prefix: str = "shop/", **more: str) -> None:
    for name, text in {**PROJECT, **more}.items():
        storage.put(f"{prefix}{name}", text.encode())


def archive(name: str, files: dict[str, str]) -> bytes:
    """An archive of the kind that the name says."""
    return (zipped if name.endswith(".zip") else tarred)(files)


def names_below(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


async def test_what_lies_below_a_prefix_is_copied(worker: Worker, storage: Storage) -> None:
    put(storage)
    storage.put("shop2/dbt_project.yml", b"name: another")
    location = await worker.locate_one(f"{storage.url}/shop")
    assert files_below(location.project_dir) == PROJECT
    assert location.source == f"{storage.url}/shop"
    assert not location.changeable


async def test_a_whole_bucket_can_be_a_project(worker: Worker, storage: Storage) -> None:
    put(storage, prefix="")
    assert files_below((await worker.locate_one(storage.url)).project_dir) == PROJECT


async def test_several_projects_below_a_prefix_are_told_apart(worker: Worker, storage: Storage) -> None:
    put(storage, prefix="dbt/a/")
    put(storage, prefix="dbt/b/")
    found = await worker.locate(f"{storage.url}/dbt/")
    assert [location.source for location in found] == [f"{storage.url}/dbt/a", f"{storage.url}/dbt/b"]


async def test_the_revision_follows_the_content_alone(worker: Worker, storage: Storage) -> None:
    put(storage)
    put(storage, prefix="copy/")
    first = await worker.locate_one(f"{storage.url}/shop")
    assert (await worker.locate_one(f"{storage.url}/copy")).revision == first.revision
    storage.put("shop/models/one.sql", b"select 2 as one")
    assert (await worker.locate_one(f"{storage.url}/shop")).revision != first.revision


async def test_objects_that_are_here_already_are_not_downloaded_again(worker: Worker, storage: Storage) -> None:
    put(storage)
    first = await worker.locate_one(f"{storage.url}/shop")
    (first.project_dir / "marker").touch()
    assert await worker.locate_one(f"{storage.url}/shop") == first
    assert (first.project_dir / "marker").exists()


async def test_what_tools_made_is_left_in_the_bucket(worker: Worker, storage: Storage) -> None:
    put(storage, **{"target/manifest.json": "{}", "logs/dbt.log": "x", "dbt_packages/p/dbt_project.yml": "name: p"})
    storage.put("shop/models/", b"")  # how consoles make a folder
    location = await worker.locate_one(f"{storage.url}/shop")
    assert sorted(path.name for path in location.project_dir.iterdir()) == ["dbt_packages", "dbt_project.yml", "models"]


@pytest.mark.parametrize("root", ["", "shop-1f3a/"])
@pytest.mark.parametrize("name", ["shop.zip", "shop.tar.gz", "shop.tgz"])
async def test_an_archive_is_a_project(worker: Worker, storage: Storage, name: str, root: str) -> None:
    storage.put(f"dbt/{name}", archive(name, {f"{root}{path}": text for path, text in PROJECT.items()}))
    storage.put(f"dbt/{name}.sha256", b"another object that the name begins")
    location = await worker.locate_one(f"{storage.url}/dbt/{name}")
    assert files_below(location.project_dir) == PROJECT
    assert location.source == f"{storage.url}/dbt/{name}"
    assert not location.changeable


async def test_an_archive_has_the_revision_of_its_files_and_is_fetched_again_when_it_was_replaced(
    worker: Worker, storage: Storage
) -> None:
    put(storage)
    storage.put("shop.zip", archive("shop.zip", PROJECT))
    first = await worker.locate_one(f"{storage.url}/shop.zip")
    assert first.revision == (await worker.locate_one(f"{storage.url}/shop")).revision
    (first.project_dir / "marker").touch()
    assert await worker.locate_one(f"{storage.url}/shop.zip") == first
    assert (first.project_dir / "marker").exists()
    storage.put("shop.zip", archive("shop.zip", {**PROJECT, "models/one.sql": "select 2 as one"}))
    second = await worker.locate_one(f"{storage.url}/shop.zip")
    assert second.revision != first.revision
    assert (second.project_dir / "models" / "one.sql").read_text() == "select 2 as one"


async def test_several_projects_of_an_archive_are_told_apart(worker: Worker, storage: Storage) -> None:
    storage.put("all.zip", archive("all.zip", {f"{name}/dbt_project.yml": f"name: {name}" for name in ("a", "b")}))
    found = await worker.locate(f"{storage.url}/all.zip")
    assert [location.source for location in found] == [f"{storage.url}/all.zip/a", f"{storage.url}/all.zip/b"]


async def test_what_is_wrong_with_an_archive_is_told(worker: Worker, storage: Storage) -> None:
    for name, content, said in (
        ("a.zip", b"no archive", "is no archive that can be read: File is not a zip file"),
        ("b.zip", archive("b.zip", {**PROJECT, "../../b.sql": "x"}), "the entry '../../b.sql' is no path below"),
        ("c.tgz", archive("c.tgz", {**PROJECT, "seeds/c.csv": "0" * 1_100_000}), "is larger than 1 MB"),
        ("dbt_project.yml", b"name: shop", "is one object, which is neither a folder nor an archive (.zip, .tar.gz,"),
    ):
        storage.put(name, content)
        assert said in await worker.problem(f"{storage.url}/{name}", DBT_TEMPORAL_SOURCE_MAX_MB="1")


@pytest.mark.parametrize("as_archive", [False, True])
async def test_pointers_of_git_lfs_are_refused_as_they_would_load_as_data(
    worker: Worker, s3: S3, as_archive: bool
) -> None:
    files = {**PROJECT, "seeds/one.csv": pointer_to("id\n1\n")}
    put(s3, **files)
    s3.put("shop.zip", zipped(files))
    with pytest.raises(DbtTemporalError, match=r"pointers of Git LFS in place of seeds/one\.csv; upload the files"):
        await worker.locate(f"{s3.url}/shop.zip" if as_archive else f"{s3.url}/shop")


async def test_a_folder_of_objects_may_be_named_like_an_archive(worker: Worker, storage: Storage) -> None:
    put(storage, prefix="shop.zip/")
    assert files_below((await worker.locate_one(f"{storage.url}/shop.zip")).project_dir) == PROJECT


async def test_an_archive_of_this_machine_is_a_project(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "shop.tar.gz"
    file.write_bytes(archive(file.name, PROJECT))
    location = await worker.locate_one(str(file))
    assert files_below(location.project_dir) == PROJECT
    assert (location.source, location.changeable) == (str(file), False)
    assert (await worker.locate_one(str(file))).project_dir == location.project_dir
    file.write_bytes(archive(file.name, {**PROJECT, "models/one.sql": "select 2"}))
    assert (await worker.locate_one(str(file))).revision != location.revision


async def test_an_archive_of_this_machine_that_is_not_there_is_told(worker: Worker, tmp_path: Path) -> None:
    problem = await worker.problem(f"{tmp_path}/gone.zip")
    assert problem == f"{tmp_path}/gone.zip: cannot be read (No such file or directory)"


async def test_an_empty_prefix_is_told(worker: Worker, storage: Storage) -> None:
    put(storage)
    storage.put("empty/", b"")  # how consoles make a folder
    assert "holds nothing" in await worker.problem(f"{storage.url}/empty")
    problem = await worker.problem(f"{storage.url}/shpo")
    assert problem == f"{storage.url}/shpo: holds nothing: there is no object below this prefix; is it spelled right?"


async def test_a_bucket_that_is_gone_is_told(worker: Worker, storage: Storage) -> None:
    problem = await worker.problem(f"{storage.url}-gone/shop")
    assert problem.startswith(f"{storage.url}-gone/shop: there is no such bucket or object (")


@pytest.mark.parametrize("path", ["../../../outside.sql", "models/../../../../outside.sql", "models//outside.sql"])
async def test_a_key_that_climbs_out_is_refused_with_its_name(
    worker: Worker, storage: Storage, tmp_path: Path, path: str
) -> None:
    put(storage)
    storage.put(f"shop/{path}", b"x")
    problem = await worker.problem(f"{storage.url}/shop")
    assert f"shop/{path}' is no path below the prefix; rename or delete that object" in problem
    assert "outside.sql" not in names_below(tmp_path)


async def test_objects_beyond_the_size_limit_are_not_downloaded(worker: Worker, storage: Storage) -> None:
    put(storage, **{"seeds/large.csv": "0" * 1_100_000})
    problem = await worker.problem(f"{storage.url}/shop", DBT_TEMPORAL_SOURCE_MAX_MB="1")
    assert "is larger than 1 MB" in problem


async def test_a_server_that_does_not_answer_is_given_up(
    worker: Worker, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for variable in ("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{silent.getsockname()[1]}")
        problem = await worker.problem(f"{storage.url}/shop", DBT_TEMPORAL_SOURCE_TIMEOUT_SECS="0.5")
    assert "could not be fetched within 0.5 seconds; is the server reachable from here?" in problem


async def test_missing_credentials_are_told(worker: Worker, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    problem = await worker.problem(f"{s3.url}/shop")
    assert "access was denied; give this worker credentials that may list and read it" in problem


async def test_the_endpoint_variables_of_the_predecessor_are_read(
    worker: Worker, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    problem = await worker.problem(f"{s3.url}/shop", AWS_ENDPOINT=s3.endpoint)
    assert f"AWS_ENDPOINT={s3.endpoint!r} is not encrypted; set AWS_ALLOW_HTTP=true for it" in problem
    location = await worker.locate_one(f"{s3.url}/shop", AWS_ENDPOINT=s3.endpoint, AWS_ALLOW_HTTP="true")
    assert files_below(location.project_dir) == PROJECT


async def test_old_copies_go_once_no_process_uses_them(worker: Worker, gcs: Gcs) -> None:
    put(gcs)
    location = await worker.locate_one(f"{gcs.url}/shop")
    stale = location.project_dir.parent / "stale"
    stale.mkdir()
    await worker.locate_one(f"{gcs.url}/shop")
    assert worker.copies() == [location.project_dir]
