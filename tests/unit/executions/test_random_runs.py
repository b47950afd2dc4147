"""Random plans, handed over at random moments: with one thread, all is as without, to the order of the log."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.plan import EphemeralTurn, HistoryLimits
from dbt_temporal.testing import FakeRuntime, HandedOver, node, planned, result
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.run.runs import failure

KINDS = ("model", "model", "model", "test", "unit_test")
ENDS = ("success", "success", "success", "error", "retried", "lost", "skipped", "warn")


@st.composite
def sketches(draw: st.DrawFn) -> dict[str, Any]:
    """What a runtime is made of, so that two equal ones can be."""
    count = draw(st.integers(2, 12))
    nodes: list[tuple[str, list[str]]] = []
    models: list[str] = []
    for number in range(count):
        kind = draw(st.sampled_from(KINDS)) if models else "model"
        parents = draw(st.lists(st.sampled_from(models), max_size=3, unique=True)) if models else []
        unique_id = f"{kind}.shop.n{number}"
        nodes.append((unique_id, parents))
        if kind == "model":
            models.append(unique_id)
    ephemerals: dict[str, EphemeralTurn] = {}
    for number in range(draw(st.integers(0, 2))):
        above = draw(st.sampled_from(models))
        later = [uid for uid, _ in nodes[[uid for uid, _ in nodes].index(above) + 1 :]]
        if later:
            children = draw(st.lists(st.sampled_from(later), min_size=1, max_size=2, unique=True))
            ephemerals[f"model.shop.e{number}"] = EphemeralTurn(depends_on=[above], children=children)
    return {
        "nodes": nodes,
        "ephemerals": ephemerals,
        "ends": {uid: draw(st.sampled_from(ENDS)) for uid, _ in nodes},
        "threads": 1,
        "fail_fast": draw(st.booleans()),
        "first_come": draw(st.booleans()),
        "command": draw(st.sampled_from(["run", "build"])),
        "every": draw(st.integers(1, 6)),
    }


def runtime_of(sketch: dict[str, Any]) -> FakeRuntime:
    runtime = FakeRuntime(
        planned(
            *(node(uid, *parents) for uid, parents in sketch["nodes"]),
            ephemerals=sketch["ephemerals"] if sketch["first_come"] else {},
            threads=sketch["threads"],
            fail_fast=sketch["fail_fast"],
            first_come=sketch["first_come"],
            continue_after=HistoryLimits(events=1, size_bytes=1),
            unrepeatable=[],
        )
    )
    for unique_id, end in sketch["ends"].items():
        if end == "error":
            runtime.nodes[unique_id] = failure("Database Error\n  no", unique_id)
        elif end == "retried":
            runtime.retries[unique_id] = ["once", "twice"]
        elif end == "lost":
            runtime.retries[unique_id] = ["once", "twice", "three times"]
        elif end in ("skipped", "warn"):
            runtime.nodes[unique_id] = result(unique_id, end)
    return runtime


async def run_it(runtime: FakeRuntime, command: str) -> tuple[DbtRunOutput, DbtRun]:
    carried = None
    while True:
        run = DbtRun(runtime, INVOCATION_ID)
        try:
            return await run.execute({"command": command}, carried), run
        except HandedOver:
            carried = runtime.carried[-1]


@settings(max_examples=150, deadline=None)
@given(sketches())
def test_a_run_that_is_handed_over_at_any_moment_is_the_same(sketch: dict[str, Any]) -> None:
    straight, often = runtime_of(sketch), runtime_of(sketch)
    often.hand_over_after = sketch["every"]
    expected, at_once = asyncio.run(run_it(straight, sketch["command"]))

    output, run = asyncio.run(run_it(often, sketch["command"]))

    assert output.model_copy(update={"elapsed_time": 0}) == expected.model_copy(update={"elapsed_time": 0})
    assert _untimed(run.run_log()) == _untimed(at_once.run_log())
    assert run.run_status() == at_once.run_status()
    assert run.node_status() == at_once.node_status()
    assert run.failure_message() == at_once.failure_message()
    assert often.step_names == straight.step_names


def _untimed(lines: list[str]) -> list[str]:
    return ["Finished running" if line.startswith("Finished running") else line for line in lines]
