"""The variables by which packages learn of the job that runs dbt."""

import dataclasses

from temporalio.testing import ActivityEnvironment

from dbt_temporal.adapters.temporal.worker.job import JobVariables


def variables(environ: dict[str, str], workflow_id: str = "nightly") -> dict[str, str]:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(
        environment.info, workflow_id=workflow_id, workflow_run_id="0198", namespace="data"
    )
    answer: dict[str, str] = environment.run(JobVariables(environ))
    return answer


def test_a_job_is_a_workflow_and_its_run_has_a_link_where_the_ui_is_known() -> None:
    assert variables({}) == {"ORCHESTRATOR": "temporal", "JOB_ID": "nightly", "JOB_RUN_ID": "0198"}
    linked = variables({"TEMPORAL_UI_URL": "https://ui.internal/"}, "a/b c")
    assert linked["JOB_RUN_URL"] == "https://ui.internal/namespaces/data/workflows/a%2Fb%20c/0198/history"


def test_without_temporal_there_is_no_job() -> None:
    assert JobVariables({"TEMPORAL_UI_URL": "https://ui.internal"})() == {}
