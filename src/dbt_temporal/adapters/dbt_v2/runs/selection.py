"""What a run on dbt v2 selects: by its input, or, where it retries an earlier run, of that what did not succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from dbt_temporal.adapters.dbt_v2 import command_line
from dbt_temporal.adapters.dbt_v2.commands import V2Commands, V2Project
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.runs import exact
from dbt_temporal.adapters.earlier_runs import RetriedRuns
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.log.said import plain
from dbt_temporal.domain.results import is_project_hook
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

First = TypeVar("First")
Second = TypeVar("Second")

_RETRIED = frozenset({"error", "fail", "skipped", "runtime error", "partial success"})
"""What `dbt retry` runs again, by dbt's words in run_results.json."""
_DOES_NOTHING = "Skipped"
"""dbt v2's message of what it lists and has nothing to do for: ephemeral models. Skipped nodes have a reason there."""


class Selection:
    """Of one run.

    Args:
        commands: start dbt.
        project: the run's.
        invocation: with what the retried run gave.
        state_words: the words of the artifacts that the input names.
        retried: reads what is retried.
    """

    def __init__(
        self,
        commands: V2Commands,
        project: V2Project,
        invocation: DbtInvocation,
        state_words: Sequence[str],
        retried: RetriedRuns,
    ) -> None:
        self._commands = commands
        self._project = project
        self._invocation = invocation
        self._state_words = state_words
        self._retried = retried

    async def made(self, folder: Path) -> tuple[V2Process, list[str]]:
        """Has dbt list the nodes, and write its manifest.

        Returns:
            The process, and the nodes in dbt's order; none for an inline query, which dbt lists nowhere.

        Raises:
            DbtTemporalError: what dbt says; Configuration, where there is no run that could be retried.
        """
        run_input = self._invocation.input
        again = await self._to_retry()
        if run_input.inline is not None:
            words = ["parse", "--write-json", "--invocation-id", self._invocation.invocation_id]
            return await self._commands.run(folder, words, self._project, "planning"), []
        is_exact = again and not _narrows(run_input) and not exact.is_too_long(again)
        words = [
            *("list", "--output", "json", "--output-keys", "unique_id", "--write-json"),
            *(command_line.exact_selection(again or ()) if is_exact else self._own()),
            *self._state_words,
            *("--invocation-id", self._invocation.invocation_id),
        ]
        process = await self._commands.run(folder, words, self._project, "planning")
        listed = [unique_id for text in process.told.printed if (unique_id := _listed(text)) is not None]
        return process, [unique_id for unique_id in listed if again is None or unique_id in again]

    async def listing(self, folder: Path, selected: Sequence[str]) -> dict[str, str]:
        """For the command `list`, the lines that it prints, which come in the order of the nodes."""
        run_input = self._invocation.input
        if run_input.command != "list":
            return {}
        output = ["--output", run_input.output] if run_input.output else []
        keys = ["--output-keys", *run_input.output_keys] if run_input.output_keys else []
        words = ["list", *output, *keys, *self._own(), *self._state_words]
        process = await self._commands.run(folder, words, self._project, "listing")
        # What models print while they are parsed comes before.
        lines = process.told.printed[max(0, len(process.told.printed) - len(selected)) :]
        return dict(zip(selected, lines, strict=False))

    async def words(
        self, planned: Collection[str], nodes: Collection[str] | None, state_words: Sequence[str], folder: Path
    ) -> list[str]:
        """The words for a process of the run's command, with those of the artifacts that it takes.

        Args:
            planned: the nodes of the plan.
            nodes: those of the process; None for all.
            state_words: of its artifacts.
            folder: of the run's files.
        """
        run_input = self._invocation.input
        if run_input.inline is not None:
            return [*command_line.inline(run_input.inline), *state_words]
        if nodes is None and not run_input.retry_from:
            return [*command_line.selection(run_input), *command_line.types(run_input), *state_words]
        chosen = planned if nodes is None else nodes
        if exact.is_too_long(chosen) and run_input.command != "clone":  # which needs its state for more
            return await asyncio.to_thread(exact.by_file, chosen, folder / "selected", state_words)
        return [*command_line.exact_selection(chosen), *state_words]

    def _own(self) -> list[str]:
        run_input = self._invocation.input
        if run_input.command == "show":  # which selects no tests beside what is named
            run_input = run_input.model_copy(update={"indirect_selection": "empty"})
        return [*command_line.selection(run_input), *command_line.listed_types(run_input)]

    async def _to_retry(self) -> frozenset[str] | None:
        run_input = self._invocation.input
        if not run_input.retry_from:
            return None
        if not COMMANDS[run_input.command].can_be_retried:
            raise configuration_error(f"retry_from: the command {run_input.command} cannot be retried")
        document = await self._retried.document(self._invocation, self._project.folder)
        return to_retry(document["results"], run_input.retry_from)


async def beside(first: Coroutine[Any, Any, First], second: Coroutine[Any, Any, Second]) -> tuple[First, Second]:
    """Does both at once. What the first one raises is told before what the second does, which then ends, too."""
    other = asyncio.ensure_future(second)
    try:
        return await first, await other
    finally:
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


def to_retry(results: Sequence[Mapping[str, Any]], reference: str) -> frozenset[str]:
    """The nodes that `dbt retry` runs again; none where these are ephemeral models alone, which do nothing.

    Args:
        results: of run_results.json.
        reference: where it is, for messages.

    Raises:
        DbtTemporalError: of type Configuration, where there are no results.
    """
    if not results:
        raise configuration_error(f"retry_from: the run at {reference} has no results, so there is nothing to retry")
    found = {
        str(result["unique_id"]): result.get("message") != _DOES_NOTHING
        for result in results
        if result.get("status") in _RETRIED and not is_project_hook(str(result["unique_id"]))
    }
    return frozenset(found if any(found.values()) else ())


def _narrows(run_input: DbtRunInput) -> bool:
    return bool(run_input.select or run_input.exclude or run_input.selector)


def said_in_planning(process: V2Process) -> list[str]:
    """What dbt and the project have to say of the files and of the selection, a line each."""
    return [line for note in process.told.notes if _listed(note) is None for line in note.splitlines()]


def _listed(text: str) -> str | None:
    """The node of a line of the list; None where parsing has printed the line."""
    try:
        line = orjson.loads(plain(text))
    except orjson.JSONDecodeError:
        return None
    return line["unique_id"] if isinstance(line, dict) and line.keys() == {"unique_id"} else None
