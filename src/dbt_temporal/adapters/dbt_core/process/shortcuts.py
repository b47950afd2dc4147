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
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
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
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

_FLOAT_LIMIT = 1e38
"""All below it fit into protobuf's shorter floats too."""
_QUOTES = frozenset("\"`[]'")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
"""How dbt writes instants into its events."""
_EPOCH = datetime(1970, 1, 1)


def take() -> None:
    """Takes all of them, in this process and its forks."""
    BaseAdapter.get_relation = quick_get_relation(BaseAdapter.get_relation)
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


class _NotPlainError(Exception):
    """A message that is better left to protobuf's own parser."""


def quick_parse_dict(values: Mapping[str, Any], message: Message, *args: Any, **kwargs: Any) -> Message:
    """`json_format.ParseDict`: sets fields of plain types, of which the events of dbt's log are made."""
    if not args and not kwargs:
        try:
            _fill(values, message)
            return message
        except Exception:
            message.Clear()  # and have the parser say what is wrong, if anything is
    return ParseDict(dict(values), message, *args, **kwargs)


def _fill(values: Mapping[str, Any], message: Message) -> None:
    setters = _setters(message.DESCRIPTOR)
    for name, value in values.items():
        set_value = setters[name]
        if value is not None:
            set_value(message, name, value)


Setter = Callable[[Message, str, Any], None]


@functools.cache
def _setters(descriptor: Descriptor) -> dict[str, Setter]:
    return {field.name: _setter(field) for field in descriptor.fields}


def _setter(field: FieldDescriptor) -> Setter:
    one_of = field.containing_oneof
    if one_of is not None and len(one_of.fields) > 1:
        return _refuse
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return _set_texts
        if field.is_repeated:
            return _refuse
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return _set_instant
        if field.message_type.full_name == "google.protobuf.Struct":
            return _set_struct
        return _refuse if field.message_type.full_name.startswith("google.") else _set_message
    plain = _PLAIN.get(field.type)
    return _refuse if plain is None or field.is_repeated else plain


def _refuse(_message: Message, name: str, _value: Any) -> None:
    raise _NotPlainError(name)


def _of_type(kind: type) -> Setter:
    def set_value(message: Message, name: str, value: Any) -> None:
        if type(value) is not kind:
            raise _NotPlainError(name)
        setattr(message, name, value)

    return set_value


def _set_float(message: Message, name: str, value: Any) -> None:
    if type(value) is not float or not abs(value) < _FLOAT_LIMIT:
        raise _NotPlainError(name)
    setattr(message, name, value)


def _set_message(message: Message, name: str, value: Any) -> None:
    if type(value) is not dict:
        raise _NotPlainError(name)
    inner = getattr(message, name)
    inner.SetInParent()
    _fill(value, inner)


def _set_struct(message: Message, name: str, value: Any) -> None:
    inner = getattr(message, name)
    inner.SetInParent()
    if value != {}:
        ParseDict(value, inner)


def _set_instant(message: Message, name: str, value: Any) -> None:
    instant = getattr(message, name)
    if not _INSTANT.fullmatch(value):
        instant.FromJsonString(value)
        return
    since = datetime.fromisoformat(value[:-1]) - _EPOCH
    instant.seconds = since.days * 86_400 + since.seconds
    instant.nanos = since.microseconds * 1_000


def _set_texts(message: Message, name: str, value: Any) -> None:
    if type(value) is not dict or any(type(each) is not str for pair in value.items() for each in pair):
        raise _NotPlainError(name)
    getattr(message, name).update(value)


_PLAIN: dict[int, Setter] = {
    FieldDescriptor.TYPE_STRING: _of_type(str),
    FieldDescriptor.TYPE_BOOL: _of_type(bool),
    FieldDescriptor.TYPE_INT32: _of_type(int),
    FieldDescriptor.TYPE_INT64: _of_type(int),
    FieldDescriptor.TYPE_UINT32: _of_type(int),
    FieldDescriptor.TYPE_UINT64: _of_type(int),
    FieldDescriptor.TYPE_FLOAT: _set_float,
    FieldDescriptor.TYPE_DOUBLE: _set_float,
}
