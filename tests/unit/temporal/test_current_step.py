"""What a worker tells of the step that it does."""

import dataclasses

from temporalio.testing import ActivityEnvironment

from dbt_temporal.adapters.temporal.worker.current_step import CurrentStep
from dbt_temporal.application.steps.engine_runs import StepOfRun


def step(
    environ: dict[str, str], workflow_id: str = "nightly", *, run_id: str = "0198", namespace_id: str = "n1"
) -> StepOfRun:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(
        environment.info, workflow_id=workflow_id, workflow_run_id=run_id, namespace="data"
    )
    answer: StepOfRun = environment.run(CurrentStep(environ, namespace_id))
    return answer


def test_a_job_is_a_workflow_and_its_run_has_a_link_where_the_ui_is_known() -> None:
    assert step({}).job == {"ORCHESTRATOR": "temporal", "JOB_ID": "nightly"}
    linked = step({"TEMPORAL_UI_URL": "https://ui.internal/"}, "a/b c").job
    assert linked["JOB_RUN_URL"] == "https://ui.internal/namespaces/data/workflows/a%2Fb%20c/0198/history"


def test_runs_that_take_each_others_place_have_the_same_owner_and_no_others() -> None:
    assert step({}).owner == step({}, run_id="0199").owner
    owners = [step({}), step({}, "hourly"), step({}, namespace_id="n2")]
    assert len({each.owner for each in owners}) == 3


def test_where_the_namespace_is_not_known_a_run_owns_what_it_has_alone() -> None:
    assert step({}, namespace_id="").owner == ""


def test_without_temporal_there_is_no_job() -> None:
    assert CurrentStep({"TEMPORAL_UI_URL": "https://ui.internal"})() == StepOfRun()
