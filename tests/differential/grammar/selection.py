"""What `--select` and `--exclude` take: methods, graph operators, unions and intersections."""

from __future__ import annotations

from tests.differential.grammar.sketch import TAGS, Sketch

_METHODS = (
    "config.materialized:table",
    "config.materialized:view",
    "config.materialized:incremental",
    "config.materialized:ephemeral",
    "resource_type:model",
    "resource_type:seed",
    "resource_type:snapshot",
    "resource_type:test",
    "resource_type:unit_test",
    "test_type:generic",
    "test_type:singular",
    "test_type:unit",
    "test_name:not_null",
    "path:models/staging",
    "path:models",
    "file:m1.sql",
    "package:shop",
    "package:this",
    "fqn:shop.*",
    "source:raw",
    "source:raw.s0",
    "exposure:board",
    "exposure:*",
    "tag:mart",
    "tag:checked",
    "group:sales",
    "access:public",
    "config.severity:warn",
    "config.meta.owner:me",
    "unit_test:u0",
    "*",
)
_STATE = (
    "state:modified",
    "state:new",
    "state:old",
    "state:unmodified",
    "state:modified.body",
    "state:modified.configs",
)
_RESULT = ("result:error", "result:fail", "result:success", "result:skipped", "result:warn", "result:pass")


def selection(sketch: Sketch, *, simple: bool = False, state: bool = False) -> str:
    """One criterion, or several; with `simple`, one without spaces and commas."""
    first = _operated(sketch, _atom(sketch, state=state))
    if simple or sketch.happens(60):
        return first
    return first + sketch.one_of((" ", ",")) + _operated(sketch, _atom(sketch, state=False))


def _atom(sketch: Sketch, *, state: bool) -> str:
    names = [each.name for each in sketch.relations if each.kind != "source"]
    if state:
        return sketch.one_of(_STATE + _RESULT)
    if names and sketch.happens(60):
        return sketch.one_of(names)
    if sketch.tests and sketch.happens(30):
        return sketch.one_of(sketch.tests)
    if sketch.happens(6):
        return "no_such_node"
    if sketch.happens(25):
        return "tag:" + sketch.one_of(TAGS)
    return sketch.one_of(_METHODS)


def _operated(sketch: Sketch, atom: str) -> str:
    return sketch.one_of(("{}", "{}", "{}+", "+{}", "+{}+", "1+{}", "{}+1", "@{}")).format(atom)
