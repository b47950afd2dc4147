"""What a large run has come to is worked through in several turns of its code: a workflow has two seconds for each."""

from __future__ import annotations

import asyncio

import pytest

from dbt_temporal.application import fitting
from dbt_temporal.application.fitting import fit_results, fit_step_results, results_in_turns, step_results_in_turns
from dbt_temporal.application.run.in_turns import do_in_turns, in_turns
from dbt_temporal.testing import FakeRuntime, model_id, node, until
from dbt_temporal.testing.builders import planned
from tests.unit.run.runs import runtime_of, start
from tests.unit.run.test_payload_size import results

NODES = 20


class Breathing(FakeRuntime):
    """Counts the turns that a run has ended."""

    breaths = 0

    async def breathe(self) -> None:
        self.breaths += 1
        await super().breathe()


@pytest.fixture(autouse=True)
def few_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "ITEMS_OF_A_TURN", 3)


@pytest.mark.parametrize("limit", [None, 100_000, 4_000, 2_500, 1_000, 10])
def test_in_turns_the_same_fits_as_at_once(limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(NODES, "a long message " * 20)
    for in_some, at_once in ((results_in_turns, fit_results), (step_results_in_turns, fit_step_results)):
        *turns, last = in_some(found, limit)
        assert turns == [None] * len(turns)
        monkeypatch.setattr(fitting, "ITEMS_OF_A_TURN", 1_000)
        assert last == at_once(found, limit)
        assert [each is None for each in in_some(found, limit)] == [False], "a small run ends no turn for it"
        monkeypatch.setattr(fitting, "ITEMS_OF_A_TURN", 3)


async def test_a_run_that_is_cancelled_ends_turns_while_it_skips_the_rest_and_stores_what_it_has() -> None:
    runtime = Breathing(planned(*(node(f"m{number}") for number in range(NODES)), breathes=True, write_artifacts=True))
    for number in range(NODES):
        runtime.gates[model_id(f"m{number}")] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: "running" in run.node_status().values())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runtime.breaths > NODES // 3
    assert runtime.stored is not None
    assert len(runtime.stored.results) == NODES
    assert "running" not in run.node_status().values()


async def test_a_run_that_an_earlier_release_has_planned_ends_none() -> None:
    runtime = Breathing(planned(*(node(f"m{number}") for number in range(NODES))))
    _, task = start(runtime)
    assert (await task).success
    assert runtime.breaths == 0


async def test_a_cancel_that_comes_amid_such_work_is_not_lost() -> None:
    runtime, plan = runtime_of(node("a")), planned(node("a"), breathes=True)
    begun = asyncio.Event()

    async def breathe() -> None:
        begun.set()
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # as the workflow's, which goes on to its end

    runtime.breathe = breathe  # type: ignore[method-assign]

    async def work() -> None:
        await in_turns(results_in_turns(results(NODES), 100_000), runtime, plan)
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun.is_set()


async def test_something_is_done_with_all_items_in_their_order() -> None:
    done: list[int] = []
    runtime = Breathing(planned(node("a")))
    await do_in_turns(done.extend, range(NODES), runtime, planned(node("a"), breathes=True))
    assert done == list(range(NODES))
    assert runtime.breaths == 6
