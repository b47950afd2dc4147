"""Data tests that pass, warn and fail, and unit tests."""

from __future__ import annotations

import re
from typing import Any

from tests.differential.grammar.sketch import Relation, Sketch

_GENERIC: tuple[Any, ...] = (
    "unique",
    "not_null",
    {"accepted_values": {"arguments": {"values": ["a", "b", "c"]}}},
    {"at_least": {"arguments": {"least": 2}}},
)


def add_data_tests(sketch: Sketch) -> None:
    """Generic tests on columns, and tests of their own file."""
    testable = [each for each in sketch.relations if each.package == "shop" and each.kind != "source"]
    for number in range(sketch.number(0, 4)):
        if not testable:
            return
        on = sketch.one_of(testable)
        if sketch.happens(25):
            _add_singular(sketch, on, f"t{number}")
        else:
            _add_generic(sketch, on, f"g{number}")


def _add_generic(sketch: Sketch, on: Relation, name: str) -> None:
    column = sketch.one_of(("id", "label"))
    if sketch.happens(25):
        to = sketch.one_of([each for each in sketch.relations if each.package == "shop"])
        test: Any = {"relationships": {"arguments": {"to": to.reference, "field": "id"}}}
        column = "id"
    else:
        test = sketch.one_of(_GENERIC)
        if isinstance(test, dict) and "at_least" in test:
            column = "id"
    kind, body = (test, {}) if isinstance(test, str) else next(iter(test.items()))
    body = dict(body)
    if sketch.happens(40):
        body["name"] = name
        sketch.tests.append(name)
    config = _severity(sketch)
    if sketch.happens(15):
        config["where"] = "id > 1"
    if sketch.happens(15):
        config["tags"] = ["checked"]
    if config:
        body["config"] = config
    section = {"seed": "seeds", "snapshot": "snapshots"}.get(on.kind, "models")
    entry = sketch.entry(section, on.name)
    columns = entry.setdefault("columns", [])
    for each in columns:
        if each["name"] == column:
            break
    else:
        each = {"name": column}
        if any("data_type" in other for other in columns):
            return  # a contract wants the type of each column
        columns.append(each)
    tests = each.setdefault("data_tests", [])
    if all(_kind(other) != kind for other in tests):  # two of one kind need different names
        tests.append({kind: body} if body else kind)


def _kind(test: Any) -> str:
    return test if isinstance(test, str) else str(next(iter(test)))


def _severity(sketch: Sketch) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if sketch.happens(35):
        config["severity"] = sketch.one_of(("warn", "error"))
    if sketch.happens(20):
        config["warn_if"] = sketch.one_of((">1", "!=0", "=2"))
    if sketch.happens(20):
        config["error_if"] = sketch.one_of((">2", "!=0", ">1"))
    if sketch.happens(20):
        config["store_failures"] = sketch.one_of((True, False))
    if sketch.happens(8):
        config["store_failures_as"] = sketch.one_of(("view", "table", "ephemeral"))
    if sketch.happens(10):
        config["limit"] = 1
    if sketch.happens(5):
        config["fail_calc"] = "max(1)"
    return config


def _add_singular(sketch: Sketch, on: Relation, name: str) -> None:
    config = _severity(sketch)
    words = ", ".join(f"{key}={value!r}" for key, value in config.items())
    header = f"{{{{ config({words}) }}}}\n" if config else ""
    where = sketch.one_of(("id < 0", "id > 1", "label is null", "nothing_such = 1"))
    sketch.files[f"tests/{name}.sql"] = f"{header}select * from {{{{ {on.reference} }}}} where {where}\n"
    sketch.tests.append(name)


def add_unit_tests(sketch: Sketch) -> None:
    """Unit tests of models that give their parent's rows unchanged."""
    plain = [each for each in sketch.models() if each.plain and re.match(r"ref\('[mns]\d'\)", each.parents[0])]
    ephemeral = {each.reference for each in sketch.relations if each.kind == "ephemeral"}
    plain = [each for each in plain if each.parents[0] not in ephemeral]
    if not plain or not sketch.happens(40):
        return
    for number in range(sketch.number(1, 2)):
        model = sketch.one_of(plain)
        rows = [{"id": 1, "label": "x"}, {"id": 2, "label": "y"}][: sketch.number(0, 2)]
        expected = rows if sketch.happens(60) else [{"id": 9, "label": "z"}]
        test: dict[str, Any] = {
            "name": f"u{number}",
            "model": model.name,
            "given": [{"input": model.parents[0], "rows": rows}],
            "expect": {"rows": expected},
        }
        if sketch.happens(20):
            test["config"] = {"tags": ["checked"]}
        sketch.tests.append(test["name"])
        sketch.add("unit_tests", test)
