"""The updates by which operators do something about the nodes of a run. Workflow code."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from dbt_temporal.adapters.temporal.failures import to_application_error
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.run.nodes.operations import Operation
from dbt_temporal.application.run.nodes.steps import NodeSteps
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error


class OperatorUpdates:
    """Updates of the workflow `dbt_run`. One that cannot be done is refused before it is part of the history.

    Those that take nodes take a list of unique_ids, names or labels (`model:orders`), and return unique_ids.
    """

    _run: DbtRun

    @workflow.update
    def retry_nodes(self, nodes: Any) -> list[str]:
        """Has nodes run again that have failed or were skipped, or make their next attempt now; ends a hold of them."""
        return self._operate("retry", nodes)

    @workflow.update
    def skip_nodes(self, nodes: Any) -> list[str]:
        """Has nodes end as skipped, and all below them."""
        return self._operate("skip", nodes)

    @workflow.update
    def accept_nodes(self, nodes: Any) -> list[str]:
        """Has nodes count as done, whatever they came to, so that the nodes below them run."""
        return self._operate("accept", nodes)

    @workflow.update
    def hold_nodes(self, nodes: Any) -> list[str]:
        """Keeps nodes from their next attempt, or from their first, until they are retried, skipped or accepted."""
        return self._operate("hold", nodes)

    @workflow.update
    def retry_now(self) -> list[str]:
        """Has every attempt that is waited for come now."""
        return self._open_nodes().operations.retry_now()

    @workflow.update
    def finish(self) -> bool:
        """Keeps the run open no longer: it ends with what it has."""
        self._open_nodes().hold.finish()
        return True

    @retry_nodes.validator
    def _check_retry(self, nodes: Any) -> None:
        self._check("retry", nodes)

    @skip_nodes.validator
    def _check_skip(self, nodes: Any) -> None:
        self._check("skip", nodes)

    @accept_nodes.validator
    def _check_accept(self, nodes: Any) -> None:
        self._check("accept", nodes)

    @hold_nodes.validator
    def _check_hold(self, nodes: Any) -> None:
        self._check("hold", nodes)

    @retry_now.validator
    def _check_retry_now(self) -> None:
        self._open_nodes()

    @finish.validator
    def _check_finish(self) -> None:
        self._open_nodes()

    def _operate(self, operation: Operation, nodes: Any) -> list[str]:
        try:
            return self._run.open_nodes.operations.do(operation, nodes)
        except DbtTemporalError as error:
            raise to_application_error(error) from None

    def _check(self, operation: Operation, nodes: Any) -> None:
        try:
            if not isinstance(nodes, list) or not nodes or not all(isinstance(name, str) for name in nodes):
                raise configuration_error(f"{operation}_nodes takes a list of unique_ids or names of nodes")
            self._run.open_nodes.operations.find(operation, nodes)
        except DbtTemporalError as error:
            raise to_application_error(error) from None

    def _open_nodes(self) -> NodeSteps:
        try:
            return self._run.open_nodes
        except DbtTemporalError as error:
            raise to_application_error(error) from None
