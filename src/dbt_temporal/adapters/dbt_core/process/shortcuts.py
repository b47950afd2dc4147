"""Shorter ways to what dbt does for each node: the same results with less work.

Each takes the place of one function of dbt's, and leaves to that function whatever it is not made for. They were found
by profiles of many small nodes (docs/adr/0031-shortcuts.md has the shares), and are off where
`DBT_TEMPORAL_DBT_SHORTCUTS` is false. Checked on dbt-core 1.11.16 and 1.12.0, dbt-common 1.37, dbt-adapters 1.22 and
1.24, agate 1.9, protobuf 6.33: `unit/engine/test_shortcuts` compares each with what it stands for.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import agate
from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.base.relation import BaseRelation
from dbt.adapters.reference_keys import _ReferenceKey
from dbt.clients.jinja import MacroGenerator
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.context.manifest import ManifestContext
from dbt_common import behavior_flags
from dbt_common.clients import agate_helper
from dbt_common.clients.system import make_directory, write_json
from dbt_common.constants import SECRET_ENV_PREFIX
from dbt_common.context import get_invocation_context
from dbt_common.events import base_types
from dbt_common.exceptions import env_secrets
from dbt_common.utils.encoding import JSONEncoder

from dbt_temporal.adapters.dbt_core.process.quick_events import quick_parse_dict

_QUOTES = frozenset("\"`[]'")


def take() -> None:
    """Takes all of them, in this process and its forks."""
    BaseAdapter.get_relation = quick_get_relation(BaseAdapter.get_relation)
    BaseAdapter._get_cache_schemas = quick_cache_schemas(BaseAdapter._get_cache_schemas)
    base_types.ParseDict = quick_parse_dict
    agate_helper.empty_table = quick_empty_table
    behavior_flags.BehaviorFlagRendered._default_source = staticmethod(
        quick_default_source(behavior_flags.BehaviorFlagRendered._default_source)
    )
    if hasattr(MacroNamespace, "_search_order"):  # dbt-core 1.12 makes only what is called
        MacroNamespaceBuilder.build_namespace = quick_build_namespace(MacroNamespaceBuilder.build_namespace)
        ManifestContext.to_dict = quick_context(ManifestContext.to_dict)
    write = quick_write_json(write_json)
    for module in list(sys.modules.values()):
        if getattr(module, "write_json", None) is write_json and module.__name__.startswith("dbt.artifacts."):
            module.write_json = write  # type: ignore[attr-defined]
        if getattr(module, "env_secrets", None) is env_secrets and module.__name__ != __name__:
            module.env_secrets = quick_env_secrets  # type: ignore[attr-defined]


def quick_get_relation(get_relation: Callable[..., Any]) -> Callable[..., Any]:
    """`BaseAdapter.get_relation`: looks a relation up in the cache, where dbt compares it with all of its schema.

    Only a relation with the same name but for upper and lower case can match, or be refused for nearly matching; dbt's
    own code decides about that one.
    """

    @functools.wraps(get_relation)
    def quick(self: BaseAdapter, database: str, schema: str, identifier: str) -> BaseRelation | None:
        names = (database, schema, identifier)
        plain = all(isinstance(name, str) and name and _QUOTES.isdisjoint(name) for name in names)
        if not plain or get_invocation_context().recorder is not None or (database, schema) not in self.cache:
            return get_relation(self, database, schema, identifier)
        with self.cache.lock:
            known = self.cache.relations.get(_ReferenceKey(*(name.lower() for name in names)))
        if known is None:
            return None
        if known.inner is None:
            return get_relation(self, database, schema, identifier)
        matches = self._make_match([known.inner], database, schema, identifier)
        return matches[0] if matches else None

    return quick


def quick_cache_schemas(get_schemas: Callable[..., set[BaseRelation]]) -> Callable[..., set[BaseRelation]]:
    """`BaseAdapter._get_cache_schemas`: dbt makes a relation of each node of the project, of which few schemas remain.

    A node is as good as another one that differs by its name alone, where the adapter's relations are made by code that
    is known to ask for no more. Sources may be anything.
    """

    @functools.wraps(get_schemas)
    def quick(self: BaseAdapter, relation_configs: Iterable[Any]) -> set[BaseRelation]:
        configs = list(relation_configs)
        if self.Relation.create_from.__func__.__module__ not in _PLAIN_RELATIONS:
            return get_schemas(self, configs)
        return get_schemas(self, list({_schema_key(config): config for config in reversed(configs)}.values())[::-1])

    return quick


_PLAIN_RELATIONS = frozenset({"dbt.adapters.base.relation", "dbt.adapters.duckdb.relation"})
"""Where `create_from` looks at nothing but what `_schema_key` has, and the name."""


def _schema_key(config: Any) -> Hashable:
    if config.resource_type == "source":
        return id(config)
    quoting = tuple(sorted(config.quoting_dict.items()))
    catalog = config.catalog_name if hasattr(config, "catalog_name") else config.config.get("catalog")
    return (config.database, config.schema, quoting, catalog)


def quick_empty_table() -> agate.Table:
    """`agate_helper.empty_table`: agate makes testers for the types of columns, of which there are none."""
    return agate.Table([], [], [])


def quick_write_json(write: Callable[[str, Any], bool]) -> Callable[[str, Any], bool]:
    """`write_json`, as artifacts are written by it: Python's encoder in C, which knows no stream, part by part."""

    @functools.wraps(write)
    def quick(path: str, data: Any) -> bool:
        if os.name != "posix":
            return write(path, data)
        make_directory(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(_json_parts(data, depth=2))
        return True

    return quick


def _json_parts(value: Any, depth: int) -> Iterator[str]:
    """The text of a value: an artifact's sections and what they hold by themselves, so that no text is very long."""
    if not depth or type(value) is not dict or not all(type(key) is str for key in value):
        yield json.dumps(value, cls=JSONEncoder)
        return
    yield "{"
    for number, (key, each) in enumerate(value.items()):
        yield f"{', ' if number else ''}{json.dumps(key)}: "
        yield from _json_parts(each, depth - 1)
    yield "}"


def quick_default_source(default_source: Callable[[], str]) -> Callable[[], str]:
    """`BehaviorFlagRendered._default_source`: dbt reads the source lines of all frames, to name the caller's module."""

    @functools.wraps(default_source)
    def quick() -> str:
        frame = inspect.currentframe()
        passed = (__name__, behavior_flags.__name__)
        while frame is not None and (name := frame.f_globals.get("__name__")) in passed:
            frame = frame.f_back
        module = sys.modules.get(name) if frame is not None and isinstance(name, str) else None
        if frame is None or module is None or vars(module) is not frame.f_globals:
            return default_source()
        return module.__name__

    return quick


def quick_env_secrets() -> list[str]:
    """`env_secrets`: dbt decodes the whole environment, for each line of its log."""
    prefix = os.fsencode(SECRET_ENV_PREFIX)
    raw = getattr(os.environ, "_data", None)
    if os.name != "posix" or not isinstance(raw, dict):
        return list(env_secrets())
    values = [os.fsdecode(raw.get(name, b"")) for name in list(raw) if name.startswith(prefix)]
    return [value for value in values if value.strip()]


def quick_build_namespace(build: Callable[..., MacroNamespace]) -> Callable[..., MacroNamespace]:
    """`MacroNamespaceBuilder.build_namespace`: dbt makes five calls for each macro of all packages and each context.

    A node has four contexts or so. Macros are by package and name there already, so that none can be there twice.
    """

    @functools.wraps(build)
    def quick(self: Any, macros_by_package: Mapping[str, Mapping[str, Any]], ctx: dict[str, Any]) -> MacroNamespace:
        if self.packages or self.internal_packages:
            return build(self, macros_by_package, ctx)
        node, stack, new = self.node, self.thread_ctx, MacroGenerator.__new__
        for package, macros in macros_by_package.items():
            generators: dict[str, MacroGenerator] = {}
            for name, macro in macros.items():
                generators[name] = generator = new(MacroGenerator)
                generator.context = ctx
                generator.macro = macro
                generator.node = node
                generator.stack = stack
            if not generators:
                continue
            if package in self.internal_package_names:
                self.internal_packages[package] = generators
                continue
            self.packages[package] = generators
            if package == self.search_package:
                self.locals.update(generators)
            elif package == self.root_package:
                self.globals.update(generators)
        return build(self, {}, ctx)

    return quick


def quick_context(to_dict: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """`ManifestContext.to_dict`: dbt looks each name of a namespace up in up to five dictionaries."""

    @functools.wraps(to_dict)
    def quick(self: Any) -> dict[str, Any]:
        namespace = self.namespace
        if type(namespace) is not MacroNamespace:
            return to_dict(self)
        context: dict[str, Any] = super(ManifestContext, self).to_dict()
        for names in reversed(list(namespace._search_order())):
            context.update(names)
        return context

    return quick
