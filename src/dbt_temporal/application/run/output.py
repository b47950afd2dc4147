"""The output of a run: what its caller gets."""

from __future__ import annotations

from collections.abc import Iterable

from dbt_temporal.application.fitting import fit_results
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.application.steps.messages import PlanProjectOutput, StoreArtifactsOutput
from dbt_temporal.domain.hooks import HookError
from dbt_temporal.domain.results import DbtRunOutput


def run_output(
    planned: PlanProjectOutput,
    live: LiveState,
    stored: StoreArtifactsOutput | None,
    hook_errors: Iterable[HookError],
    *,
    elapsed_time: float,
    limit: int | None,
) -> DbtRunOutput:
    """Makes it.

    Args:
        planned: the plan that holds.
        live: the run's state; its log is told where the output leaves something out.
        stored: where the artifacts lie.
        hook_errors: of lifecycle hooks.
        elapsed_time: in seconds.
        limit: how many bytes the results may take; None for any number.
    """
    state = live.state
    shown = state.node_results
    if planned.ends_on_error and state.ends_with_error:  # dbt raises it, and shows nothing of the nodes before it
        shown = [result.model_copy(update={"output": None}) for result in shown]
    results = fit_results(shown, limit)
    if results != shown:
        live.log.add("The run's output is too large for Temporal, and leaves out details or nodes")
    return DbtRunOutput(
        invocation_id=planned.invocation.invocation_id,
        success=state.success,
        node_results=results,
        rows=next((result.rows for result in results if result.rows is not None), None),
        elapsed_time=elapsed_time,
        artifacts=stored.artifacts if stored else None,
        log_path=stored.log_path if stored else None,
        hook_errors=list(hook_errors),
        project=planned.invocation.project,
        revision=planned.invocation.revision,
        engine=planned.engine,
        dbt_version=planned.dbt_version,
    )
