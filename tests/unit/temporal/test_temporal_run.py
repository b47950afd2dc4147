"""A submitted run whose server goes away for a while, or for good."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError

OUTPUT = {"invocation_id": "i", "success": True, "node_results": [], "elapsed_time": 1.0}
AWAY = RPCError("tcp connect error", RPCStatusCode.UNAVAILABLE, b"")
FORGOTTEN = RPCError("workflow not found", RPCStatusCode.NOT_FOUND, b"")
REFUSED = RPCError("Request unauthorized.", RPCStatusCode.UNAUTHENTICATED, b"")


class ScriptedHandle:
    """A workflow handle that answers each request with the next answer; it raises those that are errors."""

    id = "run-1"

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    async def result(self) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cancel = result


def run_with(*answers: Any) -> TemporalRun:
    return TemporalRun(cast(WorkflowHandle[Any, Any], ScriptedHandle(*answers)))


async def test_an_outage_is_waited_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    run = run_with(AWAY, AWAY, OUTPUT)
    run.pause_secs = 0.0
    with caplog.at_level(logging.INFO):
        outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED
    (record,) = caplog.records
    assert record.getMessage().startswith("Temporal does not answer (tcp connect error). The run is followed again")


@pytest.mark.parametrize("error", [FORGOTTEN, REFUSED])
async def test_a_server_that_will_not_tell_is_not_asked_again(error: RPCError) -> None:
    with pytest.raises(DbtTemporalError, match=rf"the run 'run-1' \({error.message}\)"):
        await run_with(error, OUTPUT).outcome()


async def test_a_cancel_that_does_not_reach_the_server_is_told() -> None:
    with pytest.raises(DbtTemporalError, match=r"the run 'run-1' \(tcp connect error\)\. If it is there, it goes on"):
        await run_with(AWAY).cancel()
    await run_with(FORGOTTEN).cancel()
