"""The activity that gives a run its artifacts whose workflow was closed from outside."""

from __future__ import annotations

from temporalio import activity
from temporalio.client import Client

from dbt_temporal.adapters.temporal.closed_runs.messages import TIDY_ACTIVITY, TidyInput, TidyOutput
from dbt_temporal.adapters.temporal.closed_runs.tidying import tidy
from dbt_temporal.adapters.temporal.failures import to_application_error
from dbt_temporal.adapters.temporal.worker.heartbeat import with_heartbeats
from dbt_temporal.adapters.temporal.worker.notices import Notices
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError


class TidyActivities:
    """The activity of `dbt_tidy`, with the worker's own use cases, so that it stores as the worker does."""

    def __init__(self, client: Client, use_cases: UseCases) -> None:
        self._client = client
        self._store_artifacts = use_cases.store_artifacts

    @activity.defn(name=TIDY_ACTIVITY)
    async def tidy_run(self, which: TidyInput) -> TidyOutput:
        """Stores the artifacts of one run. Repeating it stores the same again."""
        try:
            return await with_heartbeats(lambda _: tidy(self._client, self._store_artifacts, which), Notices())
        except DbtTemporalError as error:
            raise to_application_error(error) from None
