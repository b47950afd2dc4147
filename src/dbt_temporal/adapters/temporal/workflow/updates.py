"""The updates of the workflow `dbt_run`. Workflow code."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from dbt_temporal.adapters.temporal.failures import to_application_error
from dbt_temporal.adapters.temporal.workflow.runtime import TemporalRuntime
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.run.updates import carry_out_update, check_update
from dbt_temporal.domain.errors import DbtTemporalError


class RunUpdates:
    """By these, operators do something about a run. One that cannot be done is refused before it is in the history.

    Those that take nodes take a list of unique_ids, names or labels (`model:orders`), and return unique_ids.
    """

    _run: DbtRun
    _runtime: TemporalRuntime

    @workflow.update
    async def set_fail_fast(self, value: Any) -> bool:
        """Turns fail-fast on or off; returns the value now in force."""
        return bool(await self._carry_out("set_fail_fast", value))

    @workflow.update
    async def retry_nodes(self, nodes: Any) -> list[str]:
        """Has nodes run again that have failed or were skipped, or make their next attempt now; ends a hold of them."""
        return list(await self._carry_out("retry_nodes", nodes))

    @workflow.update
    async def skip_nodes(self, nodes: Any) -> list[str]:
        """Has nodes end as skipped, and all below them."""
        return list(await self._carry_out("skip_nodes", nodes))

    @workflow.update
    async def accept_nodes(self, nodes: Any) -> list[str]:
        """Has nodes count as done, whatever they came to, so that the nodes below them run."""
        return list(await self._carry_out("accept_nodes", nodes))

    @workflow.update
    async def hold_nodes(self, nodes: Any) -> list[str]:
        """Keeps nodes from their next attempt, or from their first, until they are retried, skipped or accepted."""
        return list(await self._carry_out("hold_nodes", nodes))

    @workflow.update
    async def retry_now(self) -> list[str]:
        """Has every attempt that is waited for come now."""
        return list(await self._carry_out("retry_now"))

    @workflow.update
    async def finish(self) -> bool:
        """Keeps the run open no longer: it ends with what it has."""
        return bool(await self._carry_out("finish"))

    @workflow.update
    async def take_revision(self) -> str | None:
        """Has a run that is kept open go on with the project as it is now; returns the revision."""
        await self._know_all()
        try:
            return await self._run.take_revision()
        except DbtTemporalError as error:
            raise to_application_error(error) from None

    @set_fail_fast.validator
    def _check_fail_fast(self, value: Any) -> None:
        self._check("set_fail_fast", value)

    @retry_nodes.validator
    def _check_retry(self, nodes: Any) -> None:
        self._check("retry_nodes", nodes)

    @skip_nodes.validator
    def _check_skip(self, nodes: Any) -> None:
        self._check("skip_nodes", nodes)

    @accept_nodes.validator
    def _check_accept(self, nodes: Any) -> None:
        self._check("accept_nodes", nodes)

    @hold_nodes.validator
    def _check_hold(self, nodes: Any) -> None:
        self._check("hold_nodes", nodes)

    @retry_now.validator
    def _check_retry_now(self) -> None:
        self._check("retry_now")

    @finish.validator
    def _check_finish(self) -> None:
        self._check("finish")

    @take_revision.validator
    def _check_take_revision(self) -> None:
        self._check("take_revision")

    async def _carry_out(self, name: str, *arguments: Any) -> Any:
        await self._know_all()
        try:
            return carry_out_update(self._run, name, *arguments)
        except DbtTemporalError as error:
            raise to_application_error(error) from None

    async def _know_all(self) -> None:
        """Waits until the run knows what was carried here: before that, nothing of it can be operated on."""
        self._runtime.took_action("update")
        if not self._run.is_ready:
            await workflow.wait_condition(lambda: self._run.is_ready)

    def _check(self, name: str, *arguments: Any) -> None:
        try:
            if self._run.is_ready:
                check_update(self._run, name, *arguments)
        except DbtTemporalError as error:
            raise to_application_error(error) from None
