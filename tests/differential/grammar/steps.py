"""What a person does with the project: commands one after the other, edits between them, retries."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from tests.differential.grammar.selection import selection
from tests.differential.grammar.sketch import Sketch
from tests.differential.scenario import Step

_COMMANDS = ("build", "run", "build", "test", "seed", "snapshot", "compile", "list", "source-freshness", "build", "run")
_WITHOUT_INDIRECT = frozenset({"seed", "run", "snapshot", "source-freshness"})
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
        if drawn[-1].command not in ("list", "source-freshness") and sketch.happens(25):
            drawn.append(_retry(sketch, drawn[-1].command))
        else:
            drawn.append(_command(sketch, first=False))
    # The same in each: dbt's manifest keeps those of the command that parsed last.
    always = {"DBT_ENV_CUSTOM_ENV_TEAM": "blue"} if sketch.happens(15) else {}
    return tuple(replace(step, env={**always, **step.env}) for step in drawn)


def _command(sketch: Sketch, *, first: bool) -> Step:
    command = sketch.one_of(_COMMANDS[:3] if first and sketch.happens(60) else _COMMANDS)
    options: dict[str, Any] = {}
    state = not first and sketch.happens(20)
    if sketch.selectors and sketch.happens(25):
        options["selector"] = sketch.one_of(sketch.selectors)
    else:
        if state or sketch.happens(20 if first else 45):
            options["select"] = selection(sketch, state=state and sketch.happens(85))
        if sketch.happens(15):
            options["exclude"] = selection(sketch)
    if command not in _WITHOUT_INDIRECT and sketch.happens(15):
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


def _retry(sketch: Sketch, command: str) -> Step:
    options: dict[str, Any] = {}
    if sketch.happens(30):
        options["vars"] = sketch.one_of(_VARS)
    env = sketch.one_of(_ENV[:3]) if sketch.happens(20) else {}
    return Step(command, options, env, _edits(sketch), retry=True)


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
    if what == "remove" and sketch.happens(20):
        return {name: None}
    if what == "mend":
        for name in models:
            if re.search("nowhere|no luck|undefined_macro|nothing", sketch.files[name]):
                kept = re.match(r"{{ config.*\n", sketch.files[name])
                return {name: (kept[0] if kept else "") + "select 1 as id, 'mended' as label\n"}
    return {name: sketch.files[name] + "-- edited\n"}
