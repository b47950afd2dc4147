"""Events are made as protobuf makes them, by the shorter way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dbt.adapters.events.adapter_types_pb2 as adapter_events
import dbt_common.events.types_pb2 as common_events
import pytest
from dbt_common.events.helpers import datetime_to_json_string
from dbtlabs.proto.public.v1.fields import core_types_pb2 as core_events
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_temporal.adapters.dbt_core.process import quick_events

MESSAGES = [
    descriptor
    for module in (common_events, adapter_events, core_events)
    for descriptor in module.DESCRIPTOR.message_types_by_name.values()
]
ODD: Any = st.sampled_from([None, "", "text", "\ud800", 1, -1, 2**40, 2**70, 1.5, True, b"bytes", [], {}, {"a": 1}])
FITTING: dict[int, Any] = {
    FieldDescriptor.TYPE_STRING: st.text(max_size=8),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32, allow_nan=False),
    FieldDescriptor.TYPE_DOUBLE: st.floats(allow_nan=False),
}


def value_of(field: Any, depth: int) -> Any:
    if field.message_type is None:
        one = FITTING.get(field.type, ODD)
    elif field.message_type.full_name == "google.protobuf.Timestamp":
        by_dbt = st.datetimes().map(datetime_to_json_string)
        one = st.one_of(by_dbt, st.datetimes().map(lambda instant: instant.replace(tzinfo=UTC).isoformat()))
    elif field.message_type.full_name == "google.protobuf.Struct":
        plain = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
        one = st.dictionaries(st.text(max_size=3), plain | st.lists(plain) | st.dictionaries(st.text(), plain))
    elif field.message_type.GetOptions().map_entry:
        return st.dictionaries(st.text(max_size=3), st.one_of(st.text(max_size=3), ODD), max_size=2)
    elif depth == 0:
        return st.none()
    else:
        one = values_of(field.message_type, depth - 1)
    return st.lists(one, max_size=2) if field.is_repeated else one


def values_of(descriptor: Any, depth: int = 2) -> Any:
    fields = {field.name: st.one_of(value_of(field, depth), ODD) for field in descriptor.fields}
    strange = {"no_such_field": ODD, **{field.json_name: ODD for field in descriptor.fields}}
    return st.one_of(
        st.fixed_dictionaries({}, optional={field.name: value_of(field, depth) for field in descriptor.fields}),
        st.fixed_dictionaries({}, optional={**strange, **fields}),
    )


def outcome(parse: Any, values: Any, descriptor: Any) -> Any:
    try:
        return parse(values, GetMessageClass(descriptor)()).SerializeToString(deterministic=True)
    except Exception as error:
        return type(error), str(error)


@given(data=st.data(), descriptor=st.sampled_from(MESSAGES))
@settings(max_examples=500, deadline=None)
def test_an_event_is_made_as_protobuf_makes_it(data: Any, descriptor: Any) -> None:
    values = data.draw(values_of(descriptor))
    assert outcome(quick_events.quick_parse_dict, values, descriptor) == outcome(ParseDict, values, descriptor)


def test_most_events_need_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_events, "ParseDict", None)
    node_info = {"node_name": "a", "unique_id": "model.a", "node_relation": {"alias": "a"}, "node_started_at": ""}
    query = {"conn_name": "a", "sql": "select 1", "node_info": {**node_info, "meta": {}}}
    message: Any = quick_events.quick_parse_dict(query, adapter_events.SQLQuery())
    assert message.node_info.node_relation.alias == "a"
    info = {"name": "SQLQuery", "ts": datetime.now(UTC).isoformat(), "extra": {"a": "b"}, "pid": 1}
    event: Any = quick_events.quick_parse_dict({"info": info}, adapter_events.SQLQueryMsg())
    assert event.info.extra == {"a": "b"}
