"""The activity by which an execution gets what the one before it has handed over by reference."""

from __future__ import annotations

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.executions.in_history import find_parts
from dbt_temporal.adapters.temporal.payloads.plan_pieces import PIECE_SIGNAL
from dbt_temporal.domain.errors import ErrorType

FETCH_CARRIED = "fetch_carried"
_DIGEST = "carried"
"""In place of a plan's: these are pieces of no answer that is to come."""


class FetchCarriedInput(BaseModel):
    """What is asked for.

    Attributes:
        run_id: of the execution before this one, in whose history the parts are.
        digests: theirs, in hexadecimal.
    """

    run_id: str
    digests: list[str]


class CarriedActivities:
    """Sends parts from the history of one execution to the next one by signals, so that its own history has them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=FETCH_CARRIED)
    async def fetch(self, asked: FetchCarriedInput) -> None:
        """Raises ApplicationError of type Configuration, for good, where the history has them not or is not there."""
        info = activity.info()
        workflow_id, wanted = info.workflow_id or "", [bytes.fromhex(each) for each in asked.digests]
        try:
            found = await find_parts(self._client, workflow_id, asked.run_id, wanted)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            found = {}
        if len(found) < len(set(wanted)):
            raise ApplicationError(
                f"of the {len(wanted)} parts that the run carries {len(found)} are in the history of its execution "
                f"{asked.run_id}, from which it goes on: nothing that is left of the run can be done",
                type=str(ErrorType.CONFIGURATION),
                non_retryable=True,
            )
        run = self._client.get_workflow_handle(workflow_id, run_id=info.workflow_run_id)
        for number, digest in enumerate(wanted):
            await run.signal(PIECE_SIGNAL, args=[_DIGEST, number, found[digest]])
