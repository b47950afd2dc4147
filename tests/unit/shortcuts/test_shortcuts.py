"""Each shortcut gives what the function of dbt gives that it stands for."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import agate
import pytest
from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.base.relation import BaseRelation
from dbt.adapters.cache import RelationsCache
from dbt.adapters.duckdb.relation import DuckDBRelation
from dbt.adapters.postgres.relation import PostgresRelation
from dbt.clients.jinja import MacroGenerator, MacroStack
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.context.manifest import ManifestContext
from dbt.exceptions import PackageNotFoundForMacroError
from dbt_common.behavior_flags import Behavior, BehaviorFlagRendered
from dbt_common.clients.agate_helper import empty_table
from dbt_common.clients.system import write_json
from dbt_common.context import set_invocation_context
from dbt_common.exceptions import env_secrets
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_temporal.adapters.dbt_core.process import shortcuts


def relation(name: str, *, quoted: bool = True) -> BaseRelation:
    policy = {"database": quoted, "schema": quoted, "identifier": quoted}
    return BaseRelation.create(
        database="Db", schema="main", identifier=name, quote_policy=policy, dbt_created=not quoted
    )


class Adapter:
    """What `get_relation` needs of one."""

    Relation = BaseRelation
    _make_match = BaseAdapter._make_match
    _make_match_kwargs = BaseAdapter._make_match_kwargs
    _schema_is_cached = BaseAdapter._schema_is_cached
    list_relations = BaseAdapter.list_relations

    def __init__(self, names: list[BaseRelation], quoting: bool) -> None:
        self.cache: Any = RelationsCache()
        self.cache.add_schema("db", "main")
        self.config = SimpleNamespace(quoting=dict.fromkeys(("database", "schema", "identifier"), quoting))
        for each in names:
            self.cache.add(each)

    def list_relations_without_caching(self, _schema: Any) -> list[BaseRelation]:
        return [relation("not_cached")]


NAMES = st.sampled_from(["a", "A", "b", "a_b", '"a"', "", None, "not_cached"])


@given(
    there=st.lists(st.tuples(st.sampled_from(["a", "A", "b", "B", "a_b"]), st.booleans()), max_size=4),
    quoting=st.booleans(),
    database=st.sampled_from(["Db", "db", "DB", "other", None]),
    schema=st.sampled_from(["main", "MAIN", "other"]),
    identifier=NAMES,
)
@settings(max_examples=500, deadline=None)
def test_a_relation_is_found_as_dbt_finds_it(
    there: Any, quoting: bool, database: Any, schema: Any, identifier: Any
) -> None:
    set_invocation_context({})

    def found(get_relation: Any) -> Any:
        adapter = Adapter([relation(name, quoted=quoted) for name, quoted in there], quoting)
        try:
            return get_relation(adapter, database, schema, identifier)
        except Exception as error:
            return type(error), str(error)

    assert found(shortcuts.quick_get_relation(BaseAdapter.get_relation)) == found(BaseAdapter.get_relation)


def test_a_relation_of_a_cached_schema_is_found_without_a_look_at_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    set_invocation_context({})
    adapter = Adapter([relation("a"), relation("b")], quoting=True)
    monkeypatch.setattr(adapter.cache, "get_relations", None)
    get_relation = shortcuts.quick_get_relation(BaseAdapter.get_relation)
    assert get_relation(adapter, "Db", "main", "a") == relation("a")
    assert get_relation(adapter, "Db", "main", "c") is None


def test_adapters_still_offer_it_to_jinja() -> None:
    quick: Any = shortcuts.quick_get_relation(BaseAdapter.get_relation)
    assert quick._is_available_
    assert "get_relation" in BaseAdapter._available_


def test_an_empty_table_is_dbts() -> None:
    ours, theirs = shortcuts.quick_empty_table(), empty_table()
    assert isinstance(ours, agate.Table)
    assert vars(ours) == vars(theirs)


@pytest.mark.parametrize("secret", ["", "  ", "s3cret", "\udc80"])
def test_secrets_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("DBT_ENV_SECRET_ONE", secret)
    monkeypatch.setenv("DBT_ENV_SECRET_TWO", "two")
    monkeypatch.setenv("dbt_env_secret_three", "three")
    assert shortcuts.quick_env_secrets() == env_secrets()
    del os.environ["DBT_ENV_SECRET_TWO"]
    assert shortcuts.quick_env_secrets() == env_secrets()


MACROS = {
    "shop": {"one": "shop.one", "both": "shop.both"},
    "util": {"two": "util.two", "both": "util.both"},
    "dbt": {"run": "dbt.run", "both": "dbt.both", "util": "a macro with the name of a package"},
    "dbt_duckdb": {"run": "dbt_duckdb.run"},
    "empty": {},
}
ONLY_BEFORE_1_12 = pytest.mark.skipif(
    not hasattr(MacroNamespace, "_search_order"), reason="dbt-core 1.12 makes the macros that are called alone"
)


def namespace(build: Any, search_package: str) -> MacroNamespace:
    macros = {
        package: {name: SimpleNamespace(name=name, package_name=package, text=text) for name, text in named.items()}
        for package, named in MACROS.items()
    }
    internal = ["dbt_duckdb", "dbt"]
    builder = MacroNamespaceBuilder("shop", search_package, MacroStack(), internal, node=SimpleNamespace(name="n"))
    made: MacroNamespace = build(builder, macros, {"a": 1})
    return made


def seen(member: Any) -> Any:
    """A macro by what it is made of, a package by its macros."""
    if not isinstance(member, MacroGenerator):
        return {name: seen(each) for name, each in member.items()}
    return {**vars(member), "stack": type(member.stack)}


@ONLY_BEFORE_1_12
@pytest.mark.parametrize("search_package", ["shop", "util", "dbt", "none"])
def test_a_namespace_of_macros_is_dbts(search_package: str) -> None:
    ours = namespace(shortcuts.quick_build_namespace(MacroNamespaceBuilder.build_namespace), search_package)
    theirs = namespace(MacroNamespaceBuilder.build_namespace, search_package)
    assert seen(ours) == seen(theirs)
    assert set(ours) == set(theirs) >= {"one", "both", "run"}
    for package in [None, "dbt", *MACROS, "none"]:
        assert from_package(ours, package) == from_package(theirs, package)


def from_package(names: MacroNamespace, package: str | None) -> Any:
    try:
        found = names.get_from_package(package, "both")
    except PackageNotFoundForMacroError as error:
        return str(error)
    return found and seen(found)


@ONLY_BEFORE_1_12
def test_a_context_has_the_macros_that_dbts_has() -> None:
    class Context(ManifestContext):  # type: ignore[misc]
        def __init__(self) -> None:
            self._ctx: dict[str, Any] = {}
            self.namespace = namespace(MacroNamespaceBuilder.build_namespace, "util")

        def generate_builtins(self) -> dict[str, Any]:
            return {"target": "t", "two": "hidden by the macro"}

    ours, theirs = shortcuts.quick_context(ManifestContext.to_dict)(Context()), Context().to_dict()
    assert ours["context"] is ours
    assert ours.keys() == theirs.keys() >= {"target", "two", "both", "util"}
    macros = theirs.keys() - {"context", "builtins", "target"}
    assert {name: seen(ours[name]) for name in macros} == {name: seen(theirs[name]) for name in macros}
    assert ours["builtins"] == theirs["builtins"]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
WRITTEN: Any = st.recursive(
    PLAIN | st.decimals(allow_nan=False) | st.datetimes() | st.just(ValueError("text")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(document=WRITTEN)
@settings(deadline=None)
def test_an_artifact_is_written_as_dbt_writes_it(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    folder = tmp_path_factory.mktemp("written")
    by_dbt, quick = folder / "dbt.json", folder / "made" / "quick.json"
    write_json(str(by_dbt), document)
    assert shortcuts.quick_write_json(write_json)(str(quick), document)
    assert quick.read_bytes() == by_dbt.read_bytes()


def test_what_cannot_be_written_is_told_as_dbt_tells_it(tmp_path: Path) -> None:
    told = []
    for write in (write_json, shortcuts.quick_write_json(write_json)):
        with pytest.raises(TypeError) as error:
            write(str(tmp_path / "artifact.json"), {"nodes": {"a": {1, 2}}})
        told.append(str(error.value))
    assert told[0] == told[1]


def test_a_flag_of_behaviour_names_the_module_that_declares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def sources() -> set[str]:
        flags = [{"name": "some_flag", "default": False, "description": "of some use"}]
        rendered: Any = Behavior(flags, {}).some_flag
        return {rendered._behavior_change_event.flag_source, BehaviorFlagRendered._default_source()}

    by_dbt = sources()
    quick = shortcuts.quick_default_source(BehaviorFlagRendered._default_source)
    monkeypatch.setattr(BehaviorFlagRendered, "_default_source", staticmethod(quick))
    assert sources() == by_dbt == {__name__}


NODE = st.builds(
    lambda database, schema, name, quoting, catalog: SimpleNamespace(
        resource_type="model",
        database=database,
        schema=schema,
        identifier=name,
        quoting_dict=quoting,
        config=SimpleNamespace(get=lambda *_: catalog),
    ),
    st.sampled_from(["db", "DB", None]),
    st.sampled_from(["main", "other"]),
    st.sampled_from(["a", "b", "c"]),
    st.dictionaries(st.sampled_from(["database", "schema", "identifier", "column"]), st.booleans()),
    st.sampled_from([None, "lake"]),
)


@pytest.mark.parametrize("kind", [BaseRelation, DuckDBRelation, PostgresRelation])
@given(nodes=st.lists(NODE, max_size=12))
@settings(deadline=None)
def test_the_schemas_that_are_looked_through_are_dbts(kind: Any, nodes: list[Any]) -> None:
    adapter: Any = SimpleNamespace(Relation=kind, config=SimpleNamespace(quoting={"identifier": True}))
    by_dbt = BaseAdapter._get_cache_schemas(adapter, iter(nodes))
    quick = shortcuts.quick_cache_schemas(BaseAdapter._get_cache_schemas)(adapter, iter(nodes))
    assert quick == by_dbt
    assert sorted(map(repr, quick)) == sorted(map(repr, by_dbt))


def test_schemas_are_found_with_one_relation_each_and_those_of_other_adapters_with_all() -> None:
    nodes = [
        SimpleNamespace(
            resource_type="model",
            database="db",
            schema="main",
            identifier=f"model_{number}",
            quoting_dict={},
            config=SimpleNamespace(get=lambda *_: None),
        )
        for number in range(9)
    ]

    class Other(BaseRelation):  # type: ignore[misc]
        @classmethod
        def create_from(cls, *args: Any, **kwargs: Any) -> Any:
            return super().create_from(*args, **kwargs)

    asked: list[int] = []

    def ask(_adapter: Any, configs: list[Any]) -> set[Any]:
        asked.append(len(configs))
        return set()

    quick = shortcuts.quick_cache_schemas(ask)
    for kind in (DuckDBRelation, Other):
        adapter: Any = SimpleNamespace(Relation=kind)
        quick(adapter, nodes)
    assert asked == [1, 9]
