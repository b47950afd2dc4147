"""What runs ask of a Temporal server, and what people do: the adapters keep what their ports promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.leases.client import TemporalLeases
from dbt_temporal.adapters.temporal.schedules.known import KnownSchedules, When
from dbt_temporal.adapters.temporal.schedules.times import TemporalSchedules
from dbt_temporal.domain.leases.messages import Lease, LeaseAnswer
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.testing import LeasesContract, RunGatewayContract, SchedulesContract, node, plan
from dbt_temporal.testing.contracts.leases import OwnerOf
from dbt_temporal.testing.contracts.runs import LetEnd
from dbt_temporal.testing.contracts.schedules import MakeDaily
from tests.integration.run_harness import RunHarness


class LeasesInActivities:
    """Asks each time within an activity of the run whose lease it is, as steps do."""

    def __init__(self, runs: RunHarness) -> None:
        self._runs = runs
        self._leases = TemporalLeases(runs.task_queue)
        self.workflow_ids: dict[str, str] = {}

    async def begin(self, name: str) -> str:
        """A run that goes on, since nobody works on it."""
        workflow_id = f"{name}-{uuid4().hex[:8]}"
        nobody = f"nobody-{self._runs.task_queue}"
        handle = await self._runs.client.start_workflow("dbt_run", id=workflow_id, task_queue=nobody)
        invocation_id = (await handle.describe()).raw_info.first_run_id
        self.workflow_ids[invocation_id] = workflow_id
        return invocation_id

    async def take(self, owner: str, lease: Lease, *, waits: bool) -> LeaseAnswer:
        return await self._within(owner).run(self._leases.take, owner, lease, waits=waits)

    async def give_back(self, scope: str, owner: str) -> None:
        await self._within(owner).run(self._leases.give_back, scope, owner)

    def _within(self, owner: str) -> ActivityEnvironment:
        activity = ActivityEnvironment(client=self._runs.client)
        activity.info = replace(activity.info, workflow_id=self.workflow_ids[owner])
        return activity


class TestTemporalLeases(LeasesContract):
    @pytest.fixture
    async def leases(self, runs: RunHarness) -> AsyncIterator[LeasesInActivities]:
        await runs.start_worker()
        leases = LeasesInActivities(runs)
        yield leases
        handles = [runs.client.get_workflow_handle(each) for each in leases.workflow_ids.values()]
        await asyncio.gather(*(handle.terminate("the test has ended") for handle in handles))

    @pytest.fixture
    def begin(self, leases: LeasesInActivities) -> OwnerOf:
        return leases.begin


class SchedulesInActivities:
    """Asks each time within an activity, as steps do."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def time_before(self, schedule_id: str, time: datetime) -> datetime:
        return await ActivityEnvironment(client=self._client).run(TemporalSchedules().time_before, schedule_id, time)


class TestTemporalSchedules(SchedulesContract):
    @pytest.fixture
    def schedules(self, temporal_client: Client) -> SchedulesInActivities:
        return SchedulesInActivities(temporal_client)

    @pytest.fixture
    async def make_daily(self, temporal_client: Client, task_queue: str) -> AsyncIterator[MakeDaily]:
        known, made = KnownSchedules(temporal_client, task_queue), list[str]()

        async def make_daily(begins: datetime) -> str:
            made.append(f"daily-{uuid4().hex[:8]}")
            when = When(intervals=[(timedelta(days=1), timedelta(hours=6))], start_at=begins)
            await known.create(made[-1], DbtRunInput(), when, paused=True)
            return made[-1]

        yield make_daily
        for schedule_id in made:
            await known.delete(schedule_id)


class TestTemporalRunGateway(RunGatewayContract):
    """With a worker whose engine is a fake, so that runs can be held."""

    @pytest.fixture
    async def gateway(self, runs: RunHarness) -> TemporalRunGateway:
        runs.engine.run_plan = plan(node("a"))
        runs.engine.gates["model.shop.a"] = asyncio.Event()
        await runs.start_worker()
        return runs.gateway

    @pytest.fixture
    def let_end(self, runs: RunHarness, gateway: TemporalRunGateway) -> LetEnd:
        async def let_end() -> None:
            runs.engine.gates["model.shop.a"].set()

        return let_end
