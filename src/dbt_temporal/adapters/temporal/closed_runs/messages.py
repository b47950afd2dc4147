"""What is said about a run whose workflow was closed from outside. Imported by workflow code."""

from __future__ import annotations

from pydantic import BaseModel, Field

from dbt_temporal.application.steps.messages import EndRunInput
from dbt_temporal.domain.results import ArtifactPaths

TIDY_WORKFLOW_TYPE = "dbt_tidy"
TIDY_ACTIVITY = "tidy_run"


class TidyInput(BaseModel):
    """Which run: the ids of one workflow execution of type `dbt_run`."""

    workflow_id: str
    run_id: str


class TidiedRun(BaseModel):
    """What was made of it; the result of the workflow `dbt_tidy`."""

    workflow_id: str
    run_id: str
    invocation_id: str = ""
    project: str | None = None
    ending: str | None = None
    """How it was ended, in words."""
    succeeded: int = 0
    failed: int = 0
    """Nodes that failed, or ran when the run was ended."""
    skipped: int = 0
    artifacts: ArtifactPaths | None = None
    note: str | None = None
    """Why there are no artifacts."""


class TidyOutput(BaseModel):
    """The result of the activity: the report, and what is left to do once it is in the history."""

    report: TidiedRun
    end: EndRunInput | None = None
    search_attributes: dict[str, str] = Field(default_factory=dict)
    """Of the run, as they would be had it come to its end."""
