"""dbt's JSON schemas are read from the cache folder, and are those that dbt makes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbt.artifacts.resources import Contract, NodeConfig
from dbt.contracts.project import ProfileConfig
from dbt_common import dataclass_schema
from dbt_common.dataclass_schema import dbtClassMixin

from dbt_temporal.adapters.dbt_core.process.parsing.kept_schemas import KeptSchemas, schemas_file
from dbt_temporal.adapters.dbt_core.process.parsing.schemas import make_schemas


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the classes whose schemas dbt makes; what takes the place of `json_schema` goes with the test."""
    names: list[str] = []
    make = dataclass_schema.build_json_schema

    def noted(cls: Any) -> Any:
        names.append(cls.__name__)
        return make(cls)

    monkeypatch.setattr(dataclass_schema, "build_json_schema", noted)
    # With a memory of its own, so that what other tests have had made counts for nothing.
    monkeypatch.setattr(dbtClassMixin, "json_schema", classmethod(lambda cls: noted(cls).to_dict()))
    return names


def test_what_one_process_has_made_is_what_dbt_makes_and_the_next_one_makes_nothing(
    tmp_path: Path, made: list[str]
) -> None:
    by_dbt = {each: each.json_schema() for each in (ProfileConfig, NodeConfig, Contract)}
    file = tmp_path / "schemas" / "kept.json"
    first = KeptSchemas(file)
    first.take()
    for _ in make_schemas():
        pass
    first.save()
    made.clear()
    dbtClassMixin.json_schema = classmethod(_refused)
    KeptSchemas(file).take()
    for _ in make_schemas():
        pass
    assert made == []
    for each, schema in by_dbt.items():
        assert each.json_schema() == schema
        assert list(each.json_schema()["properties"]) == list(schema["properties"])


def _refused(cls: type) -> dict[str, Any]:
    raise AssertionError(f"{cls.__name__} has a schema")


def test_several_processes_add_to_one_file(tmp_path: Path, made: list[str]) -> None:
    file = tmp_path / "kept.json"
    by_dbt = dbtClassMixin.__dict__["json_schema"]
    begun = {each: KeptSchemas(file) for each in (Contract, ProfileConfig)}
    for each, kept in begun.items():
        kept.take()
        assert each.json_schema()
        dbtClassMixin.json_schema = by_dbt
    for kept in begun.values():
        kept.save()
    made.clear()
    both = KeptSchemas(file)
    both.take()
    assert Contract.json_schema()
    assert ProfileConfig.json_schema()
    assert made == []


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[]"])
def test_a_file_that_is_none_of_ours_is_made_anew(tmp_path: Path, content: bytes, made: list[str]) -> None:
    file = tmp_path / "kept.json"
    file.write_bytes(content)
    kept = KeptSchemas(file)
    kept.take()
    assert Contract.json_schema()["type"] == "object"
    kept.save()
    made.clear()
    KeptSchemas(file).take()
    assert Contract.json_schema()["type"] == "object"
    assert made == []


def test_classes_of_others_are_left_to_dbt(tmp_path: Path, made: list[str]) -> None:
    @dataclass
    class OfAUser(dbtClassMixin):  # type: ignore[misc]
        number: int

    kept = KeptSchemas(tmp_path / "kept.json")
    kept.take()
    assert OfAUser.json_schema()["properties"].keys() == {"number"}
    assert OfAUser.json_schema()
    assert made == ["OfAUser", "OfAUser"]
    kept.save()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_no_fault(tmp_path: Path, made: list[str]) -> None:
    (tmp_path / "folder").write_text("a file is in the place of the folder")
    kept = KeptSchemas(tmp_path / "folder" / "kept.json")
    kept.take()
    assert Contract.json_schema()
    kept.save()


def test_other_packages_have_another_file_and_packages_edited_in_place_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    dbt = packages / "dbt_core-1.11.0.dist-info"
    (packages / "another-2.0.dist-info").mkdir(parents=True)
    dbt.mkdir()
    monkeypatch.setattr("sys.path", [str(packages)])
    before = schemas_file(tmp_path)
    assert before is not None
    assert schemas_file(tmp_path) == before
    os.utime(dbt, (1, 1))  # the same version, installed again
    assert schemas_file(tmp_path) not in (before, None)
    (dbt / "direct_url.json").write_text('{"url": "file:///dbt", "dir_info": {"editable": true}}')
    assert schemas_file(tmp_path) is None
