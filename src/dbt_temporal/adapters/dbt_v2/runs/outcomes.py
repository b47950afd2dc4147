"""What the processes of a run have told, as outcomes of its nodes and hooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dbt_temporal.adapters.dbt_v2.artifacts import Shown
from dbt_temporal.adapters.dbt_v2.commands import V2Project
from dbt_temporal.adapters.dbt_v2.plan import MANIFEST_FILE, ON_RUN_END, ON_RUN_START, read_manifest
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.told import BAD
from dbt_temporal.adapters.dbt_v2.processes.verdicts import Answer, Judge
from dbt_temporal.adapters.dbt_v2.results import kept_back, outcome_of
from dbt_temporal.adapters.dbt_v2.runs.showing import with_freshness, with_printed_code, with_rows
from dbt_temporal.application.ports.engine import NodeOutcome, Prepared
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import DbtRunInput

WHY_IT_KEEPS = "one process of dbt v2 runs its whole selection"


def refuse_unheard_end(processes: Sequence[V2Process], planned: Path) -> None:
    """Raises EngineCrashed where on-run-end was for a process to run of which there is nothing here.

    Args:
        processes: of the run, on this machine.
        planned: the target folder of its plan.
    """
    if processes or not (planned / MANIFEST_FILE).is_file() or not read_manifest(planned).hooks(ON_RUN_END):
        return
    raise DbtTemporalError(
        ErrorType.ENGINE_CRASHED,
        "nobody knows whether on-run-end has run: dbt v2 runs it at the end of its process, and that was on a machine "
        "that is lost. Look at what is there, and run what it does by hand where it is not",
        retryable=False,
    )


class Outcomes:
    """Of a run of this input on a project; `judge` says what endings mean."""

    def __init__(self, run_input: DbtRunInput, project: V2Project, judge: Judge) -> None:
        self._input = run_input
        self._project = project
        self._judge = judge

    def prepared(self, process: V2Process) -> Prepared:
        """How the work before the first node has ended. Raises what has kept the process from its nodes."""
        failed = process.told.failed_hook
        may_run = process.told.has_begun or failed is None
        failure = self._judge.failure_before_nodes(process)
        if failure is not None and failed is None:
            raise failure
        return Prepared(self.of_hooks([process], ON_RUN_START), may_run)

    async def of_node(self, unique_id: str, answer: Answer) -> NodeOutcome | None:
        """That of a node, with what dbt has shown of it, or found out about it; None where that was lost."""
        if answer.told is None:
            return kept_back(unique_id)
        told = Shown(self._project, answer.process.target).told(answer.told)
        answer.told.log.clear()  # the run keeps it
        command = self._input.command
        outcome = outcome_of(told, unique_id.partition(".")[0], as_code=command == "compile")
        if command == "compile":
            return with_printed_code(outcome, self._input)
        if command == "show":
            return with_rows(outcome, answer.told.shown)
        return await with_freshness(outcome, answer.process) if command == "source-freshness" else outcome

    def of_hooks(self, processes: Sequence[V2Process], kind: str) -> list[NodeOutcome]:
        """The hooks of a kind: of several processes that have run one, the first that failed, else the last."""
        found: dict[str, NodeOutcome] = {}
        for process in processes:
            shown = Shown(self._project, process.target)
            for unique_id, told in process.told.hooks.items():
                if f"-{kind}-" not in unique_id:
                    continue
                earlier = found.get(unique_id)
                if earlier is None or earlier.result.dbt_status not in BAD:
                    found[unique_id] = outcome_of(shown.told(told), "operation")
        return list(found.values())
