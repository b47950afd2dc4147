"""What a worker knows of the step that it does: whose it is, for packages and for the database, and its patience."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from temporalio import activity

from dbt_temporal.adapters.temporal.worker.heartbeat import HEARTBEAT_INTERVAL, silence_secs
from dbt_temporal.application.steps.engine_runs import StepOfRun

UI_VARIABLE = "TEMPORAL_UI_URL"
ORCHESTRATOR = "temporal"


class CurrentStep:
    """Tells of the step that is being done.

    Args:
        environ: the worker's environment.
        namespace_id: what no other namespace of any server has; empty where the server does not say.
        heartbeat_secs: how often activities heartbeat at least.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        namespace_id: str = "",
        heartbeat_secs: float = HEARTBEAT_INTERVAL.total_seconds(),
    ) -> None:
        self._heartbeat_secs = heartbeat_secs
        self._ui_url = environ.get(UI_VARIABLE, "").strip().rstrip("/")
        self._namespace_id = namespace_id

    def __call__(self) -> StepOfRun:
        if not activity.in_activity():
            return StepOfRun()
        info = activity.info()
        workflow_id = info.workflow_id or ""
        return StepOfRun(
            job=self._job(info.namespace, workflow_id, info.workflow_run_id or ""),
            silence_secs=silence_secs(self._heartbeat_secs),
            # Of a workflow id, one run is open at a time. Other servers may have the same id for another workflow.
            owner=f"{self._namespace_id} {workflow_id}" if self._namespace_id else "",
            execution=info.workflow_run_id or "",
        )

    def _job(self, namespace: str, workflow_id: str, run_id: str) -> dict[str, str]:
        """What packages that record runs ask the environment for: who runs dbt, under which id and address."""
        variables = {"ORCHESTRATOR": ORCHESTRATOR, "JOB_ID": workflow_id}
        if self._ui_url:
            place = f"namespaces/{quote(namespace, safe='')}/workflows/{quote(workflow_id, safe='')}/{run_id}/history"
            variables["JOB_RUN_URL"] = f"{self._ui_url}/{place}"
        return variables
