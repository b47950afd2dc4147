"""Sends a large plan to its run in pieces, before the step's answer."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel
from temporalio import activity
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.payloads.plan_pieces import PIECE_SIGNAL, in_pieces, is_large
from dbt_temporal.application.steps.messages import PlanProjectInput, PlanProjectOutput, StepInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType


async def fitting_answer(request: StepInput, output: BaseModel) -> BaseModel:
    """The answer to a request: what the step has come to, or, for a large plan, what tells of the pieces.

    Raises:
        DbtTemporalError: the server does not take them; another attempt may send them.
    """
    takes_pieces = isinstance(request, PlanProjectInput) and request.takes_pieces
    if not takes_pieces or not isinstance(output, PlanProjectOutput) or not is_large(output):
        return output
    answer, pieces = await asyncio.to_thread(in_pieces, output)
    info = activity.info()
    run = activity.client().get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
    try:
        for number, piece in enumerate(pieces):
            await run.signal(PIECE_SIGNAL, args=[answer.digest, number, piece])
    except RPCError as error:
        message = f"the plan cannot be sent to its run: {error.message}"
        raise DbtTemporalError(ErrorType.ENGINE_CRASHED, message, retryable=True) from error
    return answer
