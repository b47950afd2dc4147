"""What a person does with the project: commands one after the other, edits between them, retries."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from tests.differential.grammar.selection import selection
from tests.differential.grammar.sketch import Sketch
from tests.differential.scenario import Step

_COMMANDS = (
    *("build", "run", "build", "test", "seed", "snapshot", "compile", "list", "source-freshness", "build", "run"),
    *("docs-generate", "clone", "show", "run-operation", "parse"),
)
_WITHOUT_INDIRECT = frozenset({"seed", "run", "snapshot", "source-freshness", "clone"})
_UNSELECTED = frozenset({"show", "run-operation", "parse"})
"""Commands that do not select, or one node alone."""
_NOT_RETRIED = frozenset({"list", "source-freshness", "show", "run-operation", "parse", "docs-generate"})
_WITH_FULL_REFRESH = frozenset({"build", "run", "seed", "compile"})
_ENV: tuple[dict[str, str], ...] = (
    {"SHOP_FLAVOUR": "mint"},
    {"SHOP_BROKEN": "no"},
    {"DBT_INDIRECT_SELECTION": "cautious"},
    {"DBT_STORE_FAILURES": "true"},
    {"DBT_FULL_REFRESH": "true"},
    {"DBT_WARN_ERROR": "true"},
    {"DBT_EMPTY": "true"},
    {"DBT_TARGET": "prod"},
    {"DBT_PARTIAL_PARSE": "false"},
)
_TYPES = ("model", "test", "seed", "snapshot", "unit_test", "source")
_FLAGS: tuple[dict[str, Any], ...] = (
    {"populate_cache": False},
    {"cache_selected_only": True},
    {"warn_error": True},
    {"warn_error_options": {"error": ["NoNodesForSelectionCriteria"], "silence": ["JinjaLogWarning"]}},
    {"static_parser": False},
    {"partial_parse": False},
    {"use_fast_test_edges": True},
    {"version_check": False},
    {"print": False},
    {"threads": 1},
)
_FLAGS_OF: dict[str, tuple[dict[str, Any], ...]] = {
    "build": ({"empty": True}, {"store_failures": True}),
    "run": ({"empty": True},),
    "test": ({"store_failures": True},),
    "snapshot": ({"empty": True},),
    "compile": ({"introspect": False}, {"inject_ephemeral_ctes": False}),
    "docs-generate": ({"empty_catalog": True}, {"compile": False}),
}
_TYPED = frozenset({"build", "list", "test", "clone"})
_VARS: tuple[dict[str, Any], ...] = (
    {"word": "given"},
    {"size": 5},
    {"broken": False},
    {"word": "it is", "size": 1, "list": [1, "b", {"c": None}]},
)


def steps(sketch: Sketch) -> tuple[Step, ...]:
    """The commands."""
    drawn: list[Step] = [_command(sketch, first=True)]
    for _ in range(sketch.number(1, 5)):
        if drawn[-1].command not in _NOT_RETRIED and sketch.happens(25):
            drawn.append(_retry(sketch, drawn[-1].command))
        else:
            drawn.append(_command(sketch, first=False))
    # The same in each: dbt's manifest keeps those of the command that parsed last.
    always = {"DBT_ENV_CUSTOM_ENV_TEAM": "blue"} if sketch.happens(15) else {}
    return tuple(replace(step, env={**always, **step.env}) for step in drawn)


def _command(sketch: Sketch, *, first: bool) -> Step:
    command = sketch.one_of(_COMMANDS[:3] if first and sketch.happens(60) else _COMMANDS)
    options: dict[str, Any] = _flags(sketch, command)
    state = not first and (command == "clone" or sketch.happens(20))
    if command == "clone" and first:
        command = "build"
    if command in _UNSELECTED:
        options |= _of_one(sketch, command)
        state = False
    elif sketch.selectors and sketch.happens(25):
        options["selector"] = sketch.one_of(sketch.selectors)
    else:
        if state or sketch.happens(20 if first else 45):
            options["select"] = selection(sketch, state=state and sketch.happens(85))
        if command not in _UNSELECTED and sketch.happens(15):
            options["exclude"] = selection(sketch)
    if command not in _WITHOUT_INDIRECT | _UNSELECTED and sketch.happens(15):
        options["indirect_selection"] = sketch.one_of(("eager", "cautious", "buildable", "empty"))
    if sketch.happens(20):
        options["vars"] = sketch.one_of(_VARS)
    if sketch.happens(8):
        options["target"] = sketch.one_of(("prod", "dev"))
    if command in _WITH_FULL_REFRESH and sketch.happens(20):
        options["full_refresh"] = True  # the command line has no --no-full-refresh
    if sketch.threads == 1 and command not in ("list", "source-freshness", "compile") and sketch.happens(15):
        options["fail_fast"] = sketch.one_of((True, True, False))
    env = sketch.one_of(_ENV) if sketch.happens(20) else {}
    defer = state and command in ("build", "run", "test", "compile") and sketch.happens(40)
    return Step(command, options, env, {} if first else _edits(sketch), state=state, defer=defer)


def _flags(sketch: Sketch, command: str) -> dict[str, Any]:
    """Options that are dbt's flags under their own names."""
    if not sketch.happens(25):
        return {}
    flags = dict(sketch.one_of((*_FLAGS_OF.get(command, ()), *_FLAGS)))
    if command in _TYPED and sketch.happens(40):
        name = sketch.one_of(("resource_types", "exclude_resource_types"))
        # `build` has no runner for sources: dbt ends with an internal error, amid the nodes that it has begun.
        flags[name] = sketch.some_of(_TYPES if command == "list" else _TYPES[:-1], least=1, most=2)
    if command == "clone" and "warn_error" in flags:
        return {}
    return flags


def _of_one(sketch: Sketch, command: str) -> dict[str, Any]:
    """What `show` shows, and `run-operation` runs."""
    if command == "parse":
        return {}
    if command == "run-operation":
        return sketch.one_of(({"macro": "tell"}, {"macro": "tell", "args": {"word": "given"}}, {"macro": "fail"}))
    models = [each.name for each in sketch.models()] or ["m0"]
    query = "select 1 as id union all select 2 order by 1"
    options = sketch.one_of(({"select": sketch.one_of(models)}, {"inline": query}))
    return options | sketch.one_of(({}, {"limit": 1}, {"output": "json"}))


def _retry(sketch: Sketch, command: str) -> Step:
    options: dict[str, Any] = {}
    if sketch.happens(30):
        options["vars"] = sketch.one_of(_VARS)
    env = sketch.one_of(_ENV[:3]) if sketch.happens(20) else {}
    return Step(command, options, env, _edits(sketch), retry=True)


def _has_tests(sketch: Sketch, model: str) -> bool:
    return any(entry["name"] == model and "data_tests" in str(entry) for entry in sketch.yaml.get("models", []))


def _edits(sketch: Sketch) -> dict[str, str | None]:
    """A file that is changed, mended, added or removed."""
    if not sketch.happens(40):
        return {}
    models = [name for name in sketch.files if name.startswith("models/") and name.endswith(".sql")]
    what = sketch.one_of(("change", "mend", "add", "seed", "remove"))
    if what == "add":
        return {"models/added.sql": "select 1 as id, 'new' as label\n"}
    if what == "seed":
        seeds = [name for name in sketch.files if name.endswith(".csv")]
        return {seeds[0]: sketch.files[seeds[0]] + "8,late\n"} if seeds else {}
    if not models:
        return {}
    name = sketch.one_of(models)
    # Where dbt keeps a test without its model depends on what it parsed before.
    if what == "remove" and sketch.happens(20) and not _has_tests(sketch, PurePath(name).stem):
        return {name: None}
    if what == "mend":
        for name in models:
            if re.search("nowhere|no luck|undefined_macro|nothing", sketch.files[name]):
                kept = re.match(r"{{ config.*\n", sketch.files[name])
                return {name: (kept[0] if kept else "") + "select 1 as id, 'mended' as label\n"}
    return {name: sketch.files[name] + "-- edited\n"}
