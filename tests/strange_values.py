"""Values that nobody should send, and inputs of runs that are nearly right: the same ones for the same `Random`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from dbt_temporal.domain.run.input import DbtRunInput

SECRET = "hunter2"
"""Part of every value below `env`, and of nothing else."""

FIELDS = sorted(DbtRunInput.model_fields)

Value = Callable[[Random], Any]

TEXTS: Sequence[str] = (
    "",
    " ",
    "\n",
    "\x00",
    "null",
    "{{ env_var('X') }}",
    "ÄÖ\u202e",
    "\U0001f600" * 40,
    "x" * 5000,
    "../../etc/passwd",
    "model_id",
    "NaN",
    "/_sys/queue",
    "2024-01-01",
)
SURROGATES: Sequence[str] = ("\ud800", "a\udfffb")
NUMBERS: Sequence[int | float] = (0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**300, 0.0, -0.5, 1e308, 5e-324)
NO_NUMBERS: Sequence[float] = (float("inf"), float("-inf"), float("nan"))


def valid_inputs(hook: dict[str, Any]) -> list[dict[str, Any]]:
    """Inputs that a run takes, which together have every kind of field; their hooks are as `hook` is."""
    hooks = {"pre_run": [hook], "on_success": [hook], "on_failure": [hook]}
    return [
        {},
        {"command": "run", "select": "tag:a", "exclude": "b", "full_refresh": True, "threads": 3},
        {"command": "build", "vars": {"a": {"b": [1, 2.5, None, "c"]}}, "target": "dev", "fail_fast": True},
        {"command": "build", "env": {"A": SECRET, "B": f"{SECRET} two"}, "hooks": hooks},
        {"command": "run", "hooks": {"pre_run": [hook, hook]}, "env": {"TOKEN": SECRET}, "on_failure": "fail"},
        {"command": "test", "indirect_selection": "cautious", "store_failures": True, "resource_types": ["test"]},
        {"command": "run-operation", "macro": "grant", "args": {"to": ["x"]}},
        {"command": "show", "inline": "select 1", "limit": 5, "output": "json"},
        {"command": "list", "output_keys": ["name"], "output": "json"},
        {"event_time_start": "2024-01-01", "event_time_end": "2024-01-02", "sample": "2 days"},
        {"warn_error_options": {"error": ["x"], "silence": "all"}, "sqlparse": {"MAX": None}, "log_level_file": "info"},
    ]


def anything(random: Random, *, beyond_json: bool = True, depth: int = 3) -> Any:
    """A value of any type.

    Args:
        random: what decides.
        beyond_json: whether also what Python has as JSON, and no JSON of others holds.
        depth: so deep may it be nested, unless it is nested for its own sake.
    """
    texts = [*TEXTS, *(SURROGATES if beyond_json else ())]
    numbers = [*NUMBERS, *(NO_NUMBERS if beyond_json else ())]
    kinds: list[Value] = [
        lambda r: r.choice([None, True, False]),
        lambda r: r.choice(texts),
        lambda r: "".join(chr(r.randrange(32, 0xD7FF)) for _ in range(r.randrange(20))),
        lambda r: r.choice(numbers),
        lambda r: r.randrange(-(10 ** r.randrange(1, 40)), 10 ** r.randrange(1, 40)),
        lambda r: _nested(r.choice([20, 100, 5000 if beyond_json else 100]), r.choice([True, False])),
    ]
    if depth:
        inner: dict[str, Any] = {"beyond_json": beyond_json, "depth": depth - 1}
        kinds += [
            lambda r: [anything(r, **inner) for _ in range(r.randrange(4))],
            lambda r: {r.choice([*texts, *FIELDS]): anything(r, **inner) for _ in range(r.randrange(4))},
        ]
    return random.choice(kinds)(random)


def nearly_valid(random: Random, hook: dict[str, Any], *, beyond_json: bool = True) -> dict[str, Any]:
    """One of the valid inputs with one to three mistakes in it."""
    found = copy.deepcopy(random.choice(valid_inputs(hook)))
    for _ in range(random.randrange(1, 4)):
        _mistake(random, found, beyond_json)
    if "env" in found:
        found["env"] = _secret(found["env"])
    return found


def hook_answer(random: Random, *, beyond_json: bool = True) -> Any:
    """What a pre_run hook may answer, mostly by mistake."""
    if random.random() < 0.3:
        return anything(random, beyond_json=beyond_json)
    answer: dict[str, Any] = {}
    for name in ("skip", "reason", "extra_env", "skipp"):
        if random.random() < 0.6:
            answer[name] = anything(random, beyond_json=beyond_json)
    if random.random() < 0.3:
        answer["extra_env"] = {f"V{n}": anything(random, beyond_json=beyond_json) for n in range(3)} | {"OK": "1"}
    if random.random() < 0.2:
        answer["skip"] = random.choice([True, False, 1, "true", None])
    return answer


def _mistake(random: Random, found: dict[str, Any], beyond_json: bool) -> None:
    place: Any = found
    while True:
        keys = list(range(len(place))) if isinstance(place, list) else list(place)
        deeper = [key for key in keys if isinstance(place[key], (dict, list)) and place[key]]
        if not deeper or random.random() < 0.4:
            break
        place = place[random.choice(deeper)]
    value = anything(random, beyond_json=beyond_json)
    if isinstance(place, list):
        place.insert(random.randrange(len(place) + 1), value)
    elif keys and random.random() < 0.5:
        place[random.choice(keys)] = value
    elif random.random() < 0.6:
        place[random.choice(FIELDS)] = value
    elif random.random() < 0.9:
        place[random.choice([*TEXTS, "selekt", "profiles_dir", "Select"])] = value
    else:
        place.update({f"{'x' * random.choice([1, 50])}{n}": value for n in range(500)})


def _secret(value: Any, depth: int = 10) -> Any:
    """The same, with the secret in each of its texts that is no key and lies not too deep."""
    if isinstance(value, dict) and depth:
        return {key: _secret(member, depth - 1) for key, member in value.items()}
    if isinstance(value, list) and depth:
        return [_secret(member, depth - 1) for member in value]
    return f"{SECRET}{value}" if isinstance(value, str) else value


def _nested(depth: int, in_objects: bool) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if in_objects else [value]
    return value
