"""What every engine promises, as tests that each of them passes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from dbt_temporal.application.ports.engine import (
    CompletedNode,
    DbtEngine,
    EnginePlan,
    EngineRun,
    NodeOutcome,
    ProjectLocation,
    no_progress,
)
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing.contracts.errors import error_of

SHOP: Mapping[str, str] = {
    "dbt_project.yml": 'name: shop\nversion: "1.0"\nprofile: shop\nmodels: {shop: {+materialized: table}}\n',
    "models/orders.sql": "select 1 as id",
    "models/customers.sql": "select id from {{ ref('orders') }}",
    "models/broken.sql": "select cast('x' as integer) as id",
}
"""The project of the tests, beside which goes a profiles.yml with the profile `shop`."""
ORDERS, CUSTOMERS, BROKEN = "model.shop.orders", "model.shop.customers", "model.shop.broken"


class DbtEngineContract:
    """Tests of a `DbtEngine`, for a subclass called `Test...` and fixtures `engine`, `shop` and `unparsable`: the
    adapter, where the project SHOP lies with a profile for a database of the test's own, and where one lies that does
    not parse. Several tests may have the same engine.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_a_project_is_loaded_with_its_facts(self, engine: DbtEngine, shop: ProjectLocation) -> None:
        """`load_project`, and `ping` after it."""
        loaded = await engine.load_project(shop)
        assert (loaded.name, loaded.location, loaded.counts["model"]) == ("shop", shop, 3)
        assert loaded.adapter_type
        assert loaded.target
        assert loaded.threads >= 1
        assert loaded.engine
        assert loaded.dbt_version
        await engine.ping()

    async def test_a_project_that_does_not_parse_is_refused(
        self, engine: DbtEngine, unparsable: ProjectLocation
    ) -> None:
        """`load_project`: an error of the type Compilation or Configuration, in dbt's words."""
        error = await error_of(engine.load_project(unparsable))
        assert error.error_type in (ErrorType.COMPILATION, ErrorType.CONFIGURATION)
        assert error.message
        await engine.ping()

    async def test_a_run_goes_from_its_plan_to_its_artifacts(self, engine: DbtEngine, shop: ProjectLocation) -> None:
        """`EngineRun`, opened anew for each step, as steps are. A failed node is an outcome, and no exception."""
        run = OneRun(engine, shop)
        planned = await (await run.opened()).plan()
        check_plan(planned, run.invocation)
        facts: list[Mapping[str, Any]] = []
        prepared = await (await run.opened()).before_run(facts.append)
        assert (prepared.hooks, prepared.nodes_may_run) == ([], True)
        assert facts, "those who watch hear what runs"
        run.invocation = run.invocation.model_copy(update={"database": prepared.database})

        outcomes: dict[str, NodeOutcome] = {}
        for unique_id in (unique_id for level in planned.plan.levels for unique_id in level):
            outcomes[unique_id] = await (await run.opened()).execute_node(unique_id, no_progress)
            check_outcome(outcomes[unique_id], unique_id)
            heard = await (await run.opened()).outcome_of(unique_id, 1)
            assert heard is None or heard.result.status == outcomes[unique_id].result.status

        results = [CompletedNode(outcome.result, outcome.record) for outcome in outcomes.values()]
        assert await (await run.opened()).after_run(results, no_progress) == []
        await check_artifacts(await run.opened(), results)
        for _ in range(2):
            await engine.end_run(run.invocation.invocation_id)

    async def test_a_run_that_writes_nothing_wants_no_lease(self, engine: DbtEngine, shop: ProjectLocation) -> None:
        """`lease`, of `compile`; and nothing is known of attempts that never were."""
        run = OneRun(engine, shop, command="compile")
        planned = await (await run.opened()).plan()
        assert await (await run.opened()).lease("relation", planned.plan.nodes) is None
        assert await (await run.opened()).outcome_of(ORDERS, 1) is None
        assert await (await run.opened()).outcome_of_before_run(1) is None
        await engine.end_run(run.invocation.invocation_id)

    async def test_runs_on_one_engine_do_not_meet(self, engine: DbtEngine, shop: ProjectLocation) -> None:
        """`open`, of two runs at once: each plan is its own. Ending a run that nobody knows ends no other."""
        runs = [OneRun(engine, shop, command="compile") for _ in range(2)]
        opened = await asyncio.gather(*(run.opened() for run in runs))
        await engine.end_run(str(uuid4()))
        plans = await asyncio.gather(*(each.plan() for each in opened))
        assert [each.plan.invocation_id for each in plans] == [run.invocation.invocation_id for run in runs]
        for run in runs:
            await engine.end_run(run.invocation.invocation_id)


class OneRun:
    """A run, as each of its steps opens it."""

    def __init__(self, engine: DbtEngine, location: ProjectLocation, command: str = "run") -> None:
        self.invocation = DbtInvocation(
            invocation_id=str(uuid4()),
            project="shop",
            started_at=datetime.now(UTC).isoformat(),
            input=DbtRunInput.model_validate({"command": command}),
        )
        self._engine = engine
        self._location = location

    async def opened(self) -> EngineRun:
        """The run, for one step."""
        return await self._engine.open(self._location, self.invocation)


def check_plan(planned: EnginePlan, invocation: DbtInvocation) -> None:
    """What a plan of the project holds."""
    plan = planned.plan
    assert (plan.project, plan.invocation_id) == ("shop", invocation.invocation_id)
    assert set(plan.nodes) == {ORDERS, CUSTOMERS, BROKEN}
    assert (plan.nodes[ORDERS].depends_on, plan.nodes[CUSTOMERS].depends_on) == ([], [ORDERS])
    level_of = {unique_id: number for number, level in enumerate(plan.levels) for unique_id in level}
    assert set(level_of) == set(plan.nodes)
    assert level_of[ORDERS] < level_of[CUSTOMERS]
    assert not planned.nothing_to_do
    assert planned.threads >= 1


def check_outcome(outcome: NodeOutcome, unique_id: str) -> None:
    """How a node of the project ends."""
    assert outcome.result.unique_id == unique_id
    if unique_id == BROKEN:
        assert outcome.result.status == "error"
        assert outcome.error is not None
        assert not outcome.error.retryable
        assert outcome.result.message
    else:
        assert (outcome.result.status, outcome.error) == ("success", None)
        assert outcome.record


async def check_artifacts(run: EngineRun, results: list[CompletedNode]) -> None:
    """What is known of a run of the project at its end."""
    files = await run.artifacts(results, 1.5)
    assert {"run_results.json", "manifest.json"} <= set(files)
    for place in files.values():
        assert await asyncio.to_thread(place.read_bytes)
    graph = await run.graph([ORDERS])
    assert set(graph.nodes) == {ORDERS, CUSTOMERS, BROKEN}
    assert (graph.nodes[CUSTOMERS].name, graph.nodes[CUSTOMERS].depends_on) == ("customers", (ORDERS,))
    assert graph.code[ORDERS]
    lineage = await run.lineage()
    assert (lineage.nodes[CUSTOMERS].table, lineage.nodes[CUSTOMERS].parents) == ("customers", (ORDERS,))
    assert await run.failed_ephemerals() == frozenset()
