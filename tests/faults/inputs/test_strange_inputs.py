"""Strange inputs and hook answers on a real server, side by side: each run ends soon, as it should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from random import Random
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness
from tests.strange_values import SECRET, anything, hook_answer, nearly_valid

SEED = 4711
NUMBER = 100
"""Of inputs, and again of answers."""
BATCH = 25
SOON_SECS = 30.0


@workflow.defn(name="answer")
class Answer:
    """Answers by its input, as it stands."""

    @workflow.run
    async def run(self, argument: Any) -> Any:
        return argument.get("answer") if isinstance(argument, dict) else None


@pytest.fixture
async def hook(temporal_client: Client, task_queue: str) -> AsyncIterator[dict[str, Any]]:
    """A hook, as an input names it, with a worker that has it."""
    queue = f"{task_queue}-hooks"
    async with Worker(
        temporal_client, task_queue=queue, workflows=[Answer], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        yield {"workflow_type": "answer", "task_queue": queue, "timeout_secs": 20}


def is_served(run_input: DbtRunInput, hook: dict[str, Any]) -> bool:
    """Whether its hooks are those that there are; others are waited for, for as long as they say."""
    hooks = run_input.hooks
    every = [*hooks.pre_run, *hooks.on_success, *hooks.on_failure] if hooks else []
    return all((each.workflow_type, each.task_queue) == (hook["workflow_type"], hook["task_queue"]) for each in every)


def expected(raw: Any) -> DbtRunInput | None:
    try:
        return parse_run_input(raw)
    except DbtTemporalError:
        return None


async def ended(runs: RunHarness, raw: Any) -> Outcome:
    """Starts a run with an input as any language's client writes it, and waits for its end."""
    data = json.dumps(raw).encode()
    run = await runs.submit_raw([RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))])
    try:
        return await asyncio.wait_for(run.outcome(), SOON_SECS)
    except TimeoutError as error:
        raise AssertionError(f"seed {SEED}: has not ended: {raw!r}") from error


async def all_ended(runs: RunHarness, inputs: list[Any]) -> list[Outcome]:
    await runs.start_worker()
    found: list[Outcome] = []
    for begin in range(0, len(inputs), BATCH):
        found += await asyncio.gather(*(ended(runs, raw) for raw in inputs[begin : begin + BATCH]))
    return found


async def test_a_hundred_strange_inputs_end_soon_as_they_should_or_as_a_wrong_configuration(
    runs: RunHarness, hook: dict[str, Any]
) -> None:
    random = Random(SEED)
    runs.engine.run_plan = plan(node("a"))
    inputs: list[Any] = []
    while len(inputs) < NUMBER:
        kind = anything if random.random() < 0.2 else partial(nearly_valid, hook=hook)
        raw = kind(random, beyond_json=False)
        read = expected(raw)
        if read is None or is_served(read, hook):
            inputs.append(raw)
    refused = 0
    for raw, outcome in zip(inputs, await all_ended(runs, inputs), strict=True):
        message = f"seed {SEED}: {outcome.ending} {outcome.error_type} {outcome.message}: {raw!r}"
        assert SECRET not in (outcome.message or ""), message
        if expected(raw) is None:
            refused += 1
            assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration"), message
        elif outcome.ending is not Ending.COMPLETED:
            assert outcome.error_type in ("Configuration", "ProjectNotFound"), message
    assert 20 < refused < NUMBER - 10


async def test_a_hundred_strange_answers_of_hooks_leave_their_runs_as_they_are(
    runs: RunHarness, hook: dict[str, Any]
) -> None:
    random = Random(SEED)
    runs.engine.run_plan = plan(node("a"))
    answers = [hook_answer(random, beyond_json=False) for _ in range(NUMBER)]
    inputs = [{"hooks": {"pre_run": [{**hook, "input": {"answer": answer}}]}} for answer in answers]
    for answer, outcome in zip(answers, await all_ended(runs, inputs), strict=True):
        skip = answer is False or (isinstance(answer, dict) and answer.get("skip") is True)
        message = f"seed {SEED}: {outcome.ending} {outcome.error_type} {outcome.message}: {answer!r}"
        assert outcome.output is not None, message
        assert outcome.output.success, message
        assert outcome.output.skipped == skip, message
        assert outcome.output.hook_errors == [], message
