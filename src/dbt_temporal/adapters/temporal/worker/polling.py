"""Whether the server hears a worker poll."""

from __future__ import annotations

import time

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

HEARD_WITHIN_SECS = 120.0
"""A poll stays open for a minute, and the server notes when it began."""


async def is_heard(client: Client, task_queue: str) -> bool:
    """Whether a worker of this client has polled the queue for workflow tasks lately.

    Not for activities: a worker whose slots are all taken rightly stops asking for more.

    Raises:
        ConnectionError: the server does not say, or refuses us.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        answer = await client.workflow_service.describe_task_queue(request)
    except RPCError as error:
        raise ConnectionError(f"{error.status.name}: {error.message}") from error
    since = time.time() - HEARD_WITHIN_SECS
    return any(
        poller.identity == client.identity and poller.last_access_time.ToSeconds() >= since for poller in answer.pollers
    )
