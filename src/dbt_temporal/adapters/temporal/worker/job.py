"""What packages that record runs ask the environment for: who runs dbt, and under which id and address."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from temporalio import activity

UI_VARIABLE = "TEMPORAL_UI_URL"
ORCHESTRATOR = "temporal"


class JobVariables:
    """Variables of the run whose step is being done. `environ` is the worker's environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._ui_url = environ.get(UI_VARIABLE, "").strip().rstrip("/")

    def __call__(self) -> dict[str, str]:
        if not activity.in_activity():
            return {}
        info = activity.info()
        job, run = info.workflow_id or "", info.workflow_run_id or ""
        variables = {"ORCHESTRATOR": ORCHESTRATOR, "JOB_ID": job, "JOB_RUN_ID": run}
        if self._ui_url:
            place = f"namespaces/{quote(info.namespace, safe='')}/workflows/{quote(job, safe='')}/{run}/history"
            variables["JOB_RUN_URL"] = f"{self._ui_url}/{place}"
        return variables
