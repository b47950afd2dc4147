"""Runs that a workflow carries: the runtime keeps what its port promises, within a workflow of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from dbt_temporal.adapters.temporal.executions.breathing import breathe
from dbt_temporal.adapters.temporal.worker.activities import DbtActivities
from dbt_temporal.adapters.temporal.workflow.runtime import TemporalRuntime
from dbt_temporal.testing import RunRuntimeContract
from dbt_temporal.testing.contracts.runtime import ANSWER, ANSWERS, FAILS, Body, Carry
from tests.unit.ports.test_runtimes import use_cases

BODIES: dict[str, Body] = {}


@workflow.defn(sandboxed=False)
class CarriesBodies:
    """Does what the test has put into BODIES."""

    @workflow.run
    async def run(self, key: str) -> None:
        try:
            await BODIES[key](TemporalRuntime())
        except Exception as error:  # else the workflow task would be tried for ever
            raise ApplicationError(f"{type(error).__name__}: {error}", non_retryable=True) from error


@workflow.defn(name=ANSWERS, sandboxed=False)
class Answers:
    @workflow.run
    async def run(self, payload: Any) -> Any:
        return ANSWER


@workflow.defn(name=FAILS, sandboxed=False)
class Fails:
    @workflow.run
    async def run(self, payload: Any) -> Any:
        raise ApplicationError("it is meant to fail", non_retryable=True)


class TestTemporalRuntime(RunRuntimeContract):
    @pytest.fixture
    def hook_queue(self, task_queue: str) -> str:
        return task_queue

    @pytest.fixture
    async def carry(self, temporal_client: Client, task_queue: str) -> AsyncIterator[Carry]:
        async def carry(body: Body) -> None:
            key = uuid4().hex
            BODIES[key] = body
            try:
                await temporal_client.execute_workflow(CarriesBodies.run, key, id=key, task_queue=task_queue)
            except WorkflowFailureError as failure:
                raise AssertionError(str(failure.cause)) from failure

        activities: list[Callable[..., Any]] = [DbtActivities(use_cases(), heartbeat_secs=0.2).carry_out, breathe]
        workflows = [CarriesBodies, Answers, Fails]
        async with Worker(temporal_client, task_queue=task_queue, workflows=workflows, activities=activities):
            yield carry
