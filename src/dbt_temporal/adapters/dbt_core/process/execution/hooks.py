"""before_run and after_run of dbt's task: defer, schemas, relation cache, on-run-start, on-run-end.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `before_run`, `after_run`, `safe_run_hooks`,
`node_results`, `defer_to_manifest`. dbt keeps only the text of a hook's error, so the exception is
taken from the adapter's `execute`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dbt.artifacts.schemas.results import RunStatus
from dbt.artifacts.schemas.run import RunResult
from dbt.contracts.graph.nodes import HookNode
from dbt_common.events.contextvars import task_contextvars

from dbt_temporal.adapters.dbt_core.process.events import NodeCapture
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun


@dataclass(frozen=True)
class HookOutcome:
    result: RunResult
    log: str
    messages: list[str]
    exception: BaseException | None


def prepare(run: HostRun) -> None:
    """The part of `before_run` that every host needs: all but on-run-start."""
    run.task.safe_run_hooks = lambda *_: RunStatus.Success
    try:
        _before_run(run)
    finally:
        del run.task.safe_run_hooks


def before_run(run: HostRun) -> list[HookOutcome]:
    with _watched_hooks(run) as outcomes:
        _before_run(run)
    return outcomes()


def after_run(run: HostRun, results: list[Any]) -> list[HookOutcome]:
    """dbt's `after_run`: on-run-end hooks, which see the results."""
    with _watched_hooks(run) as outcomes, task_contextvars(project_root=run.project.config.project_root):
        run.task.after_run(run.adapter, results)
    return outcomes()


def _before_run(run: HostRun) -> None:
    with task_contextvars(project_root=run.project.config.project_root):
        run.task.before_run(run.adapter, run.selected())


@contextlib.contextmanager
def _watched_hooks(run: HostRun) -> Iterator[Callable[[], list[HookOutcome]]]:
    """Gathers results, logs and exceptions of the hooks that run meanwhile."""
    captures: dict[str, NodeCapture] = {}
    failures: list[BaseException] = []
    run.task.node_results = []
    execute = run.adapter.execute

    def watched_execute(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except Exception as error:
            failures.append(error)
            raise

    def outcomes() -> list[HookOutcome]:
        all_outcomes = []
        for result in run.task.node_results:
            failed = result.status == RunStatus.Error
            unique_id = result.node.unique_id
            error = failures[-1] if failed and failures else None
            capture = captures[unique_id]
            all_outcomes.append(HookOutcome(result, capture.log, capture.said.lines(), error))
        return all_outcomes

    with contextlib.ExitStack() as stack:
        for node in run.manifest.nodes.values():
            if isinstance(node, HookNode):
                captures[node.unique_id] = stack.enter_context(run.router.capturing(node.unique_id, NodeCapture()))
        run.adapter.execute = watched_execute
        stack.callback(lambda: run.adapter.__dict__.pop("execute", None))
        yield outcomes
