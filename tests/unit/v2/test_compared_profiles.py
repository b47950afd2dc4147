"""For the comparison of engines, a target is copied with another schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dbt_temporal.adapters.engine_comparison.profiles import profile_name, target_name, write_profile
from dbt_temporal.domain.errors import DbtTemporalError


def profiles(folder: Path, **output: Any) -> Path:
    folder.mkdir(exist_ok=True)
    content = {"shop": {"target": "dev", "outputs": {"dev": output, "prod": {"type": "postgres", "schema": "prod"}}}}
    (folder / "profiles.yml").write_text(yaml.safe_dump(content))
    return folder


def written(tmp_path: Path, **output: Any) -> dict[str, Any]:
    write_profile(profiles(tmp_path / "own", **output), "shop", "dev", "_v2", tmp_path / "made")
    content: dict[str, Any] = yaml.safe_load((tmp_path / "made" / "profiles.yml").read_text())
    return content


@pytest.mark.parametrize(
    ("output", "key", "schema"),
    [
        ({"type": "postgres", "schema": "{{ env_var('X') }}"}, "schema", "{{ env_var('X') }}_v2"),
        ({"type": "bigquery", "dataset": "sales"}, "dataset", "sales_v2"),
        ({"type": "duckdb", "path": "x.duckdb"}, "schema", "main_v2"),
    ],
)
def test_the_schema_has_a_suffix_and_all_else_is_as_it_was(
    tmp_path: Path, output: dict[str, Any], key: str, schema: str
) -> None:
    content = written(tmp_path, **output)
    assert content["shop"]["outputs"]["dev"] == {**output, key: schema}
    assert content["shop"]["outputs"]["prod"] == {"type": "postgres", "schema": "prod"}
    assert (tmp_path / "made" / "profiles.yml").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"type": "duckdb"}, "is in memory"),
        ({"type": "duckdb", "path": ":memory:"}, "is in memory"),
        ({"type": "postgres"}, "has no schema or dataset"),
    ],
)
def test_what_cannot_be_kept_apart_is_refused(tmp_path: Path, output: dict[str, Any], said: str) -> None:
    with pytest.raises(DbtTemporalError, match=said):
        written(tmp_path, **output)


def test_profile_and_target_are_those_that_the_files_name(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    assert profile_name(tmp_path) == "shop"
    assert target_name(profiles(tmp_path / "own", type="postgres"), "shop") == "dev"
    with pytest.raises(DbtTemporalError, match="there is no profile 'other'"):
        target_name(tmp_path / "own", "other")
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: \"{{ env_var('P') }}\"\n")
    with pytest.raises(DbtTemporalError, match="a name is needed"):
        profile_name(tmp_path)
