"""A shorter way to the events of dbt's log, which are protobuf's messages: fields of plain types are set as they are.

The rules are those of `shortcuts`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

_FLOAT_LIMIT = 1e38
"""All below it fit into protobuf's shorter floats too."""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
"""How dbt writes instants into its events."""
_EPOCH = datetime(1970, 1, 1)


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
