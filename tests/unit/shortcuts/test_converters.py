"""A parent makes the converters of dbt's classes, so that its hosts need not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dbt.artifacts.resources import FileHash, Owner
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import Group, Macro, ModelNode
from dbt.node_types import NodeType
from mashumaro.core.meta.code.builder import CodeBuilder

from dbt_temporal.adapters.dbt_core.process.artifacts.converters import make_converters


def at_home(kind: NodeType, name: str) -> dict[str, Any]:
    """What models and macros have alike."""
    return {
        "name": name,
        "resource_type": kind,
        "package_name": "shop",
        "path": f"{name}.sql",
        "original_file_path": f"{kind}s/{name}.sql",
        "unique_id": f"{kind}.shop.{name}",
    }


def model(name: str) -> ModelNode:
    rest = {"fqn": ["shop", name], "alias": name, "database": "db", "schema": "main"}
    return ModelNode(**at_home(NodeType.Model, name), **rest, checksum=FileHash.from_contents(name))


def macro(name: str) -> Macro:
    return Macro(**at_home(NodeType.Macro, name), macro_sql="")


def manifest_of(names: str) -> Manifest:
    manifest = Manifest(
        nodes={f"model.shop.{name}": model(name) for name in names},
        macros={f"macro.shop.{name}": macro(name) for name in names},
        disabled={f"model.shop.off_{name}": [model(f"off_{name}")] for name in names},
    )
    manifest.groups["group.shop.a"] = Group(
        name="a",
        resource_type=NodeType.Group,
        package_name="shop",
        path="groups.yml",
        original_file_path="models/groups.yml",
        unique_id="group.shop.a",
        owner=Owner(name="a"),
    )
    return manifest


def test_a_manifest_is_written_without_making_a_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Manifest, "fill_tracking_metadata", lambda _: None)  # which asks for flags of a command line
    manifest = manifest_of("abc")
    before = manifest.writable_manifest().to_dict()
    steps = len(list(make_converters(manifest)))
    assert steps < 10
    made: list[Any] = []

    def watched(make: Any) -> Any:
        def watch(builder: Any) -> None:
            made.append(builder.cls)
            make(builder)

        return watch

    for way in ("add_pack_method", "add_unpack_method"):
        monkeypatch.setattr(CodeBuilder, way, watched(getattr(CodeBuilder, way)))
    manifest.writable_manifest().write(str(tmp_path / "manifest.json"))
    assert made == []
    assert manifest.writable_manifest().to_dict() == before


def test_what_cannot_be_converted_is_left_to_the_one_who_writes_it() -> None:
    manifest = manifest_of("a")
    manifest.nodes["model.shop.broken"] = object()
    assert len(list(make_converters(manifest))) > 0
