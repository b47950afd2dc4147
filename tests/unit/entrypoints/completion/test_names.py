"""Names of projects and nodes that a shell completes: out of folders and manifests, without dbt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.entrypoints.cli.known import names
from dbt_temporal.entrypoints.cli.known.names import names_in
from dbt_temporal.entrypoints.cli.known.places import KnownProject, known_projects, manifests
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.cli.reading.shells import COMPLETE_VARIABLE, PROGRAM, SHELLS

MANIFEST: dict[str, Any] = {
    "nodes": {
        "model.shop.orders": {"name": "orders", "resource_type": "model", "tags": ["nightly"]},
        "model.shop.order_items": {"name": "order_items", "resource_type": "model"},
        "test.shop.t": {"name": "not_null_orders_id", "resource_type": "test"},
    },
    "sources": {"source.shop.raw.orders": {"name": "orders", "source_name": "raw"}},
    "exposures": {"exposure.shop.board": {"name": "board"}},
    "selectors": {"slow": {}, "fast": {}},
}


def project(folder: Path, name: str, text: str = "") -> KnownProject:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dbt_project.yml").write_text(f"name: {name}\n{text}")
    return KnownProject(name, folder)


def write_manifest(place: Path, document: object = MANIFEST) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(document))
    return place


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownProject:
    """The project of the current folder, with a manifest; nothing else is known here."""
    for name in [name for name in os.environ if name.startswith(("DBT_", "ARTIFACT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DBT_TEMPORAL_CACHE_DIR", str(tmp_path / "cache"))
    known = project(tmp_path / "shop", "shop")
    write_manifest(known.folder / "target" / "manifest.json")
    monkeypatch.chdir(known.folder)
    return known


def completed(*words: str) -> list[str]:
    """What is offered for the last word."""
    shell = SHELLS["zsh"](cli, {}, PROGRAM, COMPLETE_VARIABLE)
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_commands_flags_and_their_choices_are_completed(shop: KnownProject) -> None:
    assert completed("bui") == ["build"]
    assert completed("schedule", "cre") == ["create"]
    assert completed("build", "--full") == ["--full-refresh"]
    assert "--no-fail-fast" in completed("build", "--no-")
    assert completed("build", "--log-format", "") == ["text", "debug", "json", "default"]
    assert completed("build", "--log-format=j") == ["json"]
    assert completed("completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--select", "ord"], ["order_items", "orders"]),
        (["--select=ord"], ["order_items", "orders"]),
        (["-s", "+ord"], ["+order_items", "+orders"]),
        (["--select", "2+ord"], ["2+order_items", "2+orders"]),
        (["--select", "@orders"], ["@orders"]),
        (["--select", "tag:nightly,+orders"], ["tag:nightly,+orders"]),
        (["--select", "orders not"], ["orders not_null_orders_id"]),
        (["--select", "orders", "order_"], ["order_items"]),
        (["--select", "source:"], ["source:raw.orders"]),
        (["--exclude", "exposure:"], ["exposure:board"]),
        (["--exclude", "tag:"], ["tag:nightly"]),
        (["--selector", ""], ["fast", "slow"]),
        (["--select", "nothing"], []),
    ],
)
def test_nodes_and_selectors_are_completed(shop: KnownProject, words: list[str], offered: list[str]) -> None:
    assert completed("build", *words) == offered


def test_nodes_of_a_run_are_completed_by_their_names_alone(shop: KnownProject) -> None:
    assert completed("logs", "nightly", "order") == ["order_items", "orders"]
    assert completed("node", "nightly", "tag:") == []


def test_a_node_alone_is_completed_for_its_log(shop: KnownProject) -> None:
    assert completed("logs", "order") == ["order_items", "orders"]


def test_statuses_of_runs_are_completed(shop: KnownProject) -> None:
    assert completed("runs", "--status", "t") == ["terminated", "timed out"]


PROFILES = """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('PLACE') }}"}
    prod: {type: duckdb}
other:
  outputs: {lake: {type: duckdb}}
"""


def test_targets_of_the_profile_are_completed(
    shop: KnownProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(shop.folder, "shop", "profile: shop")
    assert completed("build", "--target", "") == []
    (shop.folder / "profiles.yml").write_text(PROFILES)
    assert completed("build", "--target", "") == completed("artifacts", "prune", "-t", "") == ["dev", "prod"]
    assert completed("build", "--target", "p") == ["prod"]
    for profile, names_of in (("other", ["lake"]), ("nobody", [])):
        monkeypatch.setenv("DBT_PROFILE", profile)
        assert completed("build", "--target", "") == names_of
    monkeypatch.delenv("DBT_PROFILE")
    (tmp_path / "profiles.yml").write_text("shop: {outputs: {elsewhere: {}}}")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    assert completed("build", "--target", "") == ["elsewhere"]
    (tmp_path / "profiles.yml").write_text("{{ broken")
    assert completed("build", "--target", "") == []


def test_what_dbt_has_and_we_have_not_offers_nothing(shop: KnownProject) -> None:
    assert completed("init", "") == []


def test_without_a_manifest_or_with_a_broken_one_no_names_are_offered(shop: KnownProject) -> None:
    place = shop.folder / "target" / "manifest.json"
    for text in ("{", "[]", '{"nodes": {"a": {}}}'):
        place.write_text(text)
        assert completed("build", "--select", "") == []
    place.unlink()
    assert completed("build", "--select", "") == []


def test_a_manifest_is_read_once_and_again_when_it_has_changed(
    shop: KnownProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def reading(manifest: dict[str, Any]) -> dict[str, Any]:
        read.append("read")
        return names_in(manifest)

    monkeypatch.setattr(names, "names_in", reading)
    assert completed("build", "-s", "orders") == completed("build", "-s", "orders") == ["orders"]
    assert len(read) == 1
    write_manifest(
        shop.folder / "target" / "manifest.json", {"nodes": {"m": {"name": "new", "resource_type": "model"}}}
    )
    assert completed("build", "-s", "") == ["new"]
    assert len(read) == 2


def test_the_project_that_is_named_has_the_names(shop: KnownProject, tmp_path: Path) -> None:
    crm = project(tmp_path / "shop" / "crm", "crm", "target-path: out\n")
    write_manifest(crm.folder / "out" / "manifest.json", {"nodes": {"m": {"name": "leads", "resource_type": "model"}}})
    assert completed("build", "--project", "") == ["shop", "crm"]
    assert completed("runs", "--project", "c") == ["crm"]
    assert completed("build", "--project", "crm", "--select", "l") == ["leads"]
    assert completed("build", "--select", "l") == []


def test_projects_are_those_of_the_folder_of_variables_and_of_dev(tmp_path: Path) -> None:
    here, cache = tmp_path / "here", tmp_path / "cache"
    project(here, "here")
    project(here / "below", "below")
    project(tmp_path / "named", "named")
    project(tmp_path / "many" / "one", "one")
    project(tmp_path / "served", "served")
    project(tmp_path / "jinja", '"{{ env_var(1) }}"')
    (cache / "dev").mkdir(parents=True)
    (cache / "dev" / "1.json").write_text(json.dumps({"projects": [str(tmp_path / "served")]}))
    (cache / "dev" / "2.json").write_text("{")
    environ = {
        "DBT_TEMPORAL_CACHE_DIR": str(cache),
        "DBT_PROJECT_DIRS": f"{tmp_path / 'named'}, git+https://host/x.git#main",
        "DBT_PROJECTS_DIR": str(tmp_path / "many"),
        "DBT_PROJECT_DIR": "../jinja",
    }
    (here / "models").mkdir()
    known = [each.name for each in known_projects(environ, here / "models")]
    assert known == ["here", "named", "one", "served"]
    assert [each.name for each in known_projects({}, here)][:2] == ["here", "below"]


def test_the_newest_manifest_counts_wherever_it_lies(tmp_path: Path) -> None:
    shop = project(tmp_path / "shop", "shop")
    own = write_manifest(shop.folder / "target" / "manifest.json")
    latest = write_manifest(tmp_path / "store" / "latest" / "shop" / "prod" / "manifest.json")
    of_dev = write_manifest(tmp_path / "cache" / "dev" / "artifacts" / "latest" / "shop" / "dev" / "manifest.json")
    for age, place in enumerate((of_dev, own, latest)):
        os.utime(place, (1000 - age, 1000 - age))
    environ = {"ARTIFACT_STORE": str(tmp_path / "store"), "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache")}
    assert manifests(shop, environ) == [of_dev, own, latest]
    assert manifests(shop, {"ARTIFACT_STORE": "s3://bucket", "DBT_TARGET_PATH": "elsewhere", "HOME": "/nowhere"}) == []
