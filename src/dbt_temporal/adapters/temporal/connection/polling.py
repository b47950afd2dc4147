"""Which workers the server hears poll a task queue."""

from __future__ import annotations

import time

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

HEARD_WITHIN_SECS = 120.0
"""A poll stays open for a minute, and the server notes when it began."""


async def pollers(client: Client, task_queue: str, within_secs: float) -> set[str]:
    """The identities of the workers whose last poll for workflow tasks began within so many seconds.

    Not for activities: a worker whose slots are all taken rightly stops asking for more.

    Raises:
        RPCError: the server does not say, or refuses us.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request)
    since = time.time() - within_secs
    return {poller.identity for poller in answer.pollers if poller.last_access_time.ToSeconds() >= since}


async def is_heard(client: Client, task_queue: str) -> bool:
    """Whether a worker of this client has polled the queue lately.

    Raises:
        ConnectionError: the server does not say, or refuses us.
    """
    try:
        return client.identity in await pollers(client, task_queue, HEARD_WITHIN_SECS)
    except RPCError as error:
        raise ConnectionError(f"{error.status.name}: {error.message}") from error
