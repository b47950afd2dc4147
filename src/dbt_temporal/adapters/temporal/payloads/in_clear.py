"""Whoever has no key where runs are encrypted is stopped before a run's input is readable on the server for good."""

from __future__ import annotations

import asyncio

from temporalio.client import Client
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.payloads.codec_keys import ENCODING, IN_CLEAR, KEY_ID_METADATA
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.secrets.own_variables import CODEC_KEYS_VARIABLE

LOOK_AT = 5
"""Of so many of the newest runs, the first decides that a worker has written the memo of."""
ANSWER_SECS = 5.0


async def refuse_in_clear(client: Client, task_queue: str, *, is_meant: bool = False) -> None:
    """Looks whether the runs on the task queue are encrypted, by the memos that their workers have written.

    A client with a codec of payloads, whoever's, may send. A server that does not list runs, or does not answer,
    decides nothing, and neither does a queue without runs.

    Args:
        client: by which runs are to be started.
        task_queue: where.
        is_meant: somebody has said that runs are to be readable on the server.

    Raises:
        DbtTemporalError: of type Configuration, where they are; what has no key must send nothing there.
    """
    if is_meant or client.data_converter.payload_codec is not None:
        return
    key_id = await _key_of_newest(client, task_queue)
    if key_id is not None:
        raise configuration_error(
            f"the runs on the task queue {task_queue!r} are encrypted with the key {key_id!r}, and this one would be "
            f"readable on the server: set {CODEC_KEYS_VARIABLE} here as on the workers (or to {IN_CLEAR!r}, where "
            "nothing is to be encrypted any more)"
        )


async def _key_of_newest(client: Client, task_queue: str) -> str | None:
    name = task_queue.replace("'", "''")
    runs = client.list_workflows(f"WorkflowType = 'dbt_run' AND TaskQueue = '{name}'", limit=LOOK_AT, page_size=LOOK_AT)
    try:
        async with asyncio.timeout(ANSWER_SECS):
            async for run in runs:
                payload = run.raw_info.memo.fields.get("node_status")
                if payload is not None:
                    is_encrypted = payload.metadata.get("encoding") == ENCODING
                    return payload.metadata[KEY_ID_METADATA].decode(errors="replace") if is_encrypted else None
    except (RPCError, TimeoutError):
        pass
    return None
