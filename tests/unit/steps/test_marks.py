"""Messages are marked for runs that know marks; those that an earlier release began have them as it knows them."""

from __future__ import annotations

import pytest

from dbt_temporal.application.ports.engine import NodeOutcome, Prepared
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import BeforeRunInput, ExecuteNodeInput, PlanProjectInput
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.log.said import Kind, marked
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, model_id, node, plan, ready_project, result
from dbt_temporal.testing.builders import INVOCATION_ID, STARTED_AT

WARNED = Kind("JinjaLogWarning", "I061", "warn")
SAID = marked("hello", WARNED)
A = model_id("a")


@pytest.mark.parametrize(("takes_marks", "said"), [(True, SAID), (False, "hello")], ids=["knows marks", "earlier"])
async def test_a_run_has_messages_as_it_knows_them(takes_marks: bool, said: str) -> None:
    engine = FakeEngine(plan(node("a")))
    engine.messages = [SAID]
    engine.on_run_start = [NodeOutcome(result("operation.shop.start", messages=SAID))]
    engine.prepared = Prepared(messages=[SAID])
    engine.script[A] = [NodeOutcome(result("a", messages=SAID))]
    use_cases = UseCases.build(engine, ProjectRegistry([ready_project()]), InMemoryArtifactStore())
    planned = await use_cases.plan_project(
        PlanProjectInput(
            invocation_id=INVOCATION_ID, started_at=STARTED_AT, input=parse_run_input({}), takes_marks=takes_marks
        )
    )
    prepared = await use_cases.before_run(BeforeRunInput(invocation=planned.invocation))
    executed = await use_cases.execute_node(ExecuteNodeInput(invocation=planned.invocation, unique_id=A))
    assert planned.messages == prepared.messages == [said]
    assert prepared.results[0].messages == executed.messages == said
