"""The output of a run."""

from __future__ import annotations

from collections.abc import Iterable

from dbt_temporal.application.fitting import fit_results, results_in_turns
from dbt_temporal.application.ports.runtime import RunRuntime
from dbt_temporal.application.run.in_turns import in_turns
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.application.steps.messages import PlanProjectOutput, StoreArtifactsOutput
from dbt_temporal.domain.hooks import HookError
from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult


async def run_output(
    planned: PlanProjectOutput,
    live: LiveState,
    stored: StoreArtifactsOutput | None,
    hook_errors: Iterable[HookError],
    *,
    elapsed_time: float,
    runtime: RunRuntime,
) -> DbtRunOutput:
    """What a run has come to.

    Args:
        planned: the plan that holds.
        live: the run's state; its log is told where the output leaves something out.
        stored: where the artifacts lie.
        hook_errors: of lifecycle hooks.
        elapsed_time: in seconds.
        runtime: says how many bytes the results may take.
    """
    shown = _shown_results(planned, live)
    results = await in_turns(results_in_turns(shown, runtime.budget.output_bytes), runtime, planned)
    if results != shown:
        live.log.add("The run's output is too large for Temporal, and leaves out details or nodes")
        if planned.invocation.input.command == "list":
            results = _whole_lines(results, shown)
    return _output(planned, live, stored, hook_errors, results, elapsed_time)


def cancelled_output(
    planned: PlanProjectOutput,
    live: LiveState,
    stored: StoreArtifactsOutput | None,
    hook_errors: Iterable[HookError],
    *,
    elapsed_time: float,
    limit: int | None,
) -> DbtRunOutput:
    """The same of a run that was cancelled, at once: for whoever asks when the run has no turns any more."""
    results = fit_results(_shown_results(planned, live), limit)
    output = _output(planned, live, stored, hook_errors, results, elapsed_time)
    return output.model_copy(update={"success": False})


def _whole_lines(results: list[NodeExecutionResult], shown: list[NodeExecutionResult]) -> list[NodeExecutionResult]:
    """Of a listing, whose lines are the messages, those that were not shortened: nobody can read the others."""
    lines = {result.unique_id: result.message for result in shown}
    return [
        result if result.message == lines[result.unique_id] else result.model_copy(update={"message": None})
        for result in results
    ]


def _shown_results(planned: PlanProjectOutput, live: LiveState) -> list[NodeExecutionResult]:
    shown = live.state.node_results
    if planned.write_report:
        shown = [result if result.times is None else result.model_copy(update={"times": None}) for result in shown]
    if planned.ends_on_error and live.state.ends_with_error:  # dbt raises it, and shows nothing of the nodes before it
        shown = [result.model_copy(update={"output": None}) for result in shown]
    return shown


def _output(
    planned: PlanProjectOutput,
    live: LiveState,
    stored: StoreArtifactsOutput | None,
    hook_errors: Iterable[HookError],
    results: list[NodeExecutionResult],
    elapsed_time: float,
) -> DbtRunOutput:
    return DbtRunOutput(
        invocation_id=planned.invocation.invocation_id,
        success=live.state.success,
        node_results=results,
        rows=next((result.rows for result in results if result.rows is not None), None),
        elapsed_time=elapsed_time,
        artifacts=stored.artifacts if stored else None,
        log_path=stored.log_path if stored else None,
        report_path=stored.report_path if stored else None,
        failed_nodes=(stored.failed_nodes or None) if stored else None,
        hook_errors=list(hook_errors),
        project=planned.invocation.project,
        revision=planned.invocation.revision,
        engine=planned.engine,
        dbt_version=planned.dbt_version,
    )
