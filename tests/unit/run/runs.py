"""Short ways to run a `DbtRun` on a `FakeRuntime`."""

import asyncio
from typing import Any

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.testing import FakeRuntime, planned, result
from dbt_temporal.testing.builders import INVOCATION_ID


def runtime_of(*nodes: Any, **fields: Any) -> FakeRuntime:
    return FakeRuntime(planned(*nodes, **fields))


async def execute(runtime: FakeRuntime, **run_input: Any) -> DbtRunOutput:
    return await DbtRun(runtime, INVOCATION_ID).execute(run_input)


def start(runtime: FakeRuntime, **run_input: Any) -> tuple[DbtRun, asyncio.Task[DbtRunOutput]]:
    run = DbtRun(runtime, INVOCATION_ID)
    return run, asyncio.create_task(run.execute(run_input))


def statuses(output: DbtRunOutput) -> dict[str, str]:
    return {each.unique_id.rsplit(".", 1)[-1]: each.status for each in output.node_results}


def failure(message: str = "Database Error", name: str | None = None) -> StepFailedError:
    ended = None if name is None else result(name, "error", message=message)
    return StepFailedError(ErrorType.ADAPTER, message, result=ended)
