"""What `list` and `compile` print on standard output."""

from __future__ import annotations

from rich.console import Console

from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.entrypoints.progress import node_label


def print_listing(out: Console, err: Console, output: DbtRunOutput) -> None:
    """One line for each node found, ready for a pipe: the selector that dbt prints for it."""
    if not output.node_results:
        err.print("No nodes selected!")
    for result in output.node_results:
        print(result.message or result.unique_id, file=out.file)


def print_compiled(out: Console, output: DbtRunOutput, select: str | None) -> None:
    """The compiled code of the nodes that the selection names.

    As in dbt (dbt.task.compile.CompileTask.task_end_messages, 1.11): a node is printed where its name stands in the
    first value of --select, so that `--select +orders` shows `orders` and not all that is above it.
    """
    if not select:
        return
    first = select.split()[0]
    for result in output.node_results:
        _, name = node_label(result.unique_id)
        if name in first and result.compiled_code is not None:
            print(f"Compiled node '{name}' is:\n{result.compiled_code}\n", file=out.file)
