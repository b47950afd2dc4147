"""What may be said to a run while it goes on, by the names of the run contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.run.nodes.operations import Operation
from dbt_temporal.domain.errors import configuration_error

OPERATIONS: Mapping[str, Operation] = {
    "retry_nodes": "retry",
    "skip_nodes": "skip",
    "accept_nodes": "accept",
    "hold_nodes": "hold",
}


def check_update(run: DbtRun, name: str, *arguments: Any) -> None:
    """Looks whether an update can be carried out now.

    Raises:
        DbtTemporalError: of type Configuration, saying why not.
    """
    if name == "set_fail_fast":
        if not isinstance(arguments[0], bool):
            raise configuration_error(f"set_fail_fast takes true or false, got {type(arguments[0]).__name__}")
    elif name in OPERATIONS:
        nodes = arguments[0]
        if not isinstance(nodes, list) or not nodes or not all(isinstance(each, str) for each in nodes):
            raise configuration_error(f"{name} takes a list of unique_ids or names of nodes")
        run.open_nodes.operations.find(OPERATIONS[name], nodes)
    else:
        run.open_nodes  # noqa: B018 -- raises where there are none


def carry_out_update(run: DbtRun, name: str, *arguments: Any) -> Any:
    """Carries one out that was checked, and returns its answer. Raises as `check_update`."""
    if name in OPERATIONS:
        return run.open_nodes.operations.do(OPERATIONS[name], *arguments)
    return _OTHERS[name](run, *arguments)


def _finish(run: DbtRun) -> bool:
    run.open_nodes.hold.finish()
    return True


_OTHERS: Mapping[str, Callable[..., Any]] = {
    "set_fail_fast": DbtRun.set_fail_fast,
    "retry_now": lambda run: run.open_nodes.operations.retry_now(),
    "finish": _finish,
}
UPDATES = (*OPERATIONS, *_OTHERS)
