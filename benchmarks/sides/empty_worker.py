"""A worker whose activities do nothing, as a program: `python -m benchmarks.sides.empty_worker ADDRESS`."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

TASK_QUEUE = "empty-tasks"
OTHER_QUEUE = "other-empty-tasks"
"""The server hands out each activity of this one by itself; of the workflow's own queue, with its turns' answers."""


@activity.defn(name="nothing")
async def nothing(number: int) -> int:
    """Returns what it is given."""
    return number


@workflow.defn(name="nothing", sandboxed=False)
class NothingWorkflow:
    """Runs so many of them, some at once."""

    @workflow.run
    async def run(self, count: int, at_once: int, task_queue: str) -> int:
        numbers = iter(range(count))
        done = 0

        async def lane() -> None:
            nonlocal done
            for number in numbers:
                await workflow.execute_activity(
                    nothing, number, task_queue=task_queue, start_to_close_timeout=timedelta(minutes=1)
                )
                done += 1

        await asyncio.gather(*(lane() for _ in range(at_once)))
        return done


async def _serve(address: str) -> None:
    client = await Client.connect(address)
    workers = (
        Worker(client, task_queue=TASK_QUEUE, workflows=[NothingWorkflow], activities=[nothing]),
        Worker(client, task_queue=OTHER_QUEUE, activities=[nothing]),
    )
    await asyncio.gather(*(worker.run() for worker in workers))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
