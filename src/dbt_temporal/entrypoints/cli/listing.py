"""What `list`, `compile`, `show` and `run-operation` print on standard output."""

from __future__ import annotations

from rich.console import Console

from dbt_temporal.domain.limits import OUTPUT_LEFT_OUT
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.entrypoints.cli.progress import node_label

TOO_LARGE = (
    "The listing is too large for the output of one run. Narrow it by --select, or take it from the run's log: "
    "log.txt, where the worker writes artifacts, or the query `run_log`."
)


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
        err.print(TOO_LARGE, style="red", soft_wrap=True)
        return False
    for line in lines:
        print(line, file=out.file)
    return True


def print_output(out: Console, output: DbtRunOutput) -> None:
    """What dbt's console shows of the nodes: compiled code, rows, what a macro printed."""
    for result in output.node_results:
        if result.output is not None:
            print(f"{result.output}\n" if result.compiled_code is not None else result.output, file=out.file)


def print_left_out(err: Console, command: str, output: DbtRunOutput) -> bool:
    """Says of which nodes rows or printed text are missing, because they did not fit into the run's output.

    Returns:
        Whether what the command is for is there. A macro is called for what it does, whatever it prints.
    """
    left_out = names_left_out(output)
    for name in left_out:
        err.print(left_out_in_words(command, name), style="red", soft_wrap=True)
    return not left_out or command != "show"


def names_left_out(output: DbtRunOutput) -> list[str]:
    """The nodes of which rows or printed text are missing."""
    return [node_label(each.unique_id)[1] for each in output.node_results if each.message == OUTPUT_LEFT_OUT]


def left_out_in_words(command: str, name: str) -> str:
    """What is said of such a node."""
    if command == "show":
        return f"The rows of '{name}' are too large for the output of a run: show fewer of them (--limit), or columns."
    return f"What '{name}' has printed is too large for the output of a run."


def print_missing_code(err: Console, output: DbtRunOutput, select: str | None) -> None:
    """Says which of the nodes that `compile` was told to show have no code here, because it did not fit."""
    for result in output.node_results:
        _, name = node_label(result.unique_id)
        if result.status == "success" and result.compiled_code is None and name in (select or ""):
            err.print(
                f"The compiled code of '{name}' did not fit into the output of the run; run_results.json has it.",
                style="yellow",
                soft_wrap=True,
            )
