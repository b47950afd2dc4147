"""What `list` and `compile` print on standard output."""

from __future__ import annotations

from rich.console import Console

from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.entrypoints.cli.progress import node_label


def print_listing(out: Console, err: Console, output: DbtRunOutput) -> bool:
    """One line for each node found, ready for a pipe: the selector that dbt prints for it.

    Returns:
        Whether it is the whole listing. Of one that is too large for a run's output nothing is printed: what reads the
        pipe would take a part for all.
    """
    if not output.node_results:
        err.print("No nodes selected!")
    lines = [result.message for result in output.node_results if result.message is not None]
    if len(lines) < len(output.node_results):
        err.print(
            "The listing is too large for the output of one run. Narrow it by --select, or take it from the run's log: "
            "log.txt, where the worker writes artifacts, or the query `run_log`.",
            style="red",
            soft_wrap=True,
        )
        return False
    for line in lines:
        print(line, file=out.file)
    return True


def print_compiled(out: Console, err: Console, output: DbtRunOutput, select: str | None) -> None:
    """The compiled code of the nodes that the selection names; says so where the output of the run has it not.

    As in dbt (dbt.task.compile.CompileTask.task_end_messages, 1.11): a node is printed where its name stands in the
    first value of --select, so that `--select +orders` shows `orders` and not all that is above it.
    """
    if not select:
        return
    first = select.split()[0]
    for result in output.node_results:
        _, name = node_label(result.unique_id)
        if name not in first:
            continue
        if result.compiled_code is not None:
            print(f"Compiled node '{name}' is:\n{result.compiled_code}\n", file=out.file)
        elif result.status == "success":
            err.print(
                f"The compiled code of '{name}' did not fit into the output of the run; run_results.json has it.",
                style="yellow",
                soft_wrap=True,
            )
