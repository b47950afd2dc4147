"""A client of runs: start, follow, await, cancel. It needs pydantic and temporalio, and nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from temporalio.client import Client, WorkflowHandle

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.connection.last_answers import awaited_at_exit
from dbt_temporal.adapters.temporal.gateway import (
    DEFAULT_TASK_QUEUE,
    TemporalRun,
    TemporalRunGateway,
)
from dbt_temporal.adapters.temporal.payloads.in_clear import refuse_in_clear
from dbt_temporal.adapters.temporal.workflow_ids import new_workflow_id
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.entrypoints.embedding.failures import DbtRunFailedError
from dbt_temporal.entrypoints.embedding.state import DbtRunState
from dbt_temporal.entrypoints.embedding.states import states_of
from dbt_temporal.entrypoints.settings import SettingsError, read_connection


class DbtClient:
    """Starts runs on a task queue and finds those that were started.

    Args:
        client: a client of the SDK, whatever data converter it has; where workers encrypt payloads, with their keys.
        task_queue: that of the workers.
        in_clear: runs may be readable on the server, though those of the task queue are encrypted.
    """

    def __init__(self, client: Client, task_queue: str = DEFAULT_TASK_QUEUE, *, in_clear: bool = False) -> None:
        awaited_at_exit()
        self._task_queue, self._in_clear = task_queue, in_clear
        self._gateway = TemporalRunGateway(client, task_queue)
        self._client = client

    @classmethod
    async def connect(cls, environ: Mapping[str, str] | None = None, *, patience_secs: float = 0.0) -> DbtClient:
        """Connects as the commands do, by the variables `TEMPORAL_*` (docs/configuration.md).

        Args:
            environ: in place of this process's environment.
            patience_secs: how long to try again where waiting can help.

        Raises:
            DbtTemporalError: of type Configuration: a variable is wrong, or the server cannot be reached.
        """
        try:
            settings = read_connection(os.environ if environ is None else environ)
        except SettingsError as error:
            raise configuration_error(str(error)) from error
        client = await connect(settings, patience_secs=patience_secs)
        return cls(client, settings.task_queue, in_clear=settings.is_in_clear_on_purpose)

    @property
    def temporal(self) -> Client:
        """The SDK's client."""
        return self._client

    async def start(
        self, run_input: DbtRunInput | Mapping[str, Any] | None = None, *, workflow_id: str | None = None
    ) -> DbtRunHandle:
        """Starts a run and does not wait for it.

        Args:
            run_input: what to run (docs/run-input.md); everything that it leaves out has its default.
            workflow_id: by which only one run is open at a time; by default one that no other run has.

        Raises:
            DbtTemporalError: of type Configuration: the input is wrong, a workflow of this id is running, the server
                does not take the run, or runs there are encrypted and the client has no key.
        """
        parsed = parse_run_input(run_input)
        await refuse_in_clear(self._client, self._task_queue, is_meant=self._in_clear)
        run = await self._gateway.submit(parsed, workflow_id or new_workflow_id(parsed))
        return DbtRunHandle(self._gateway, run)

    async def run(
        self, run_input: DbtRunInput | Mapping[str, Any] | None = None, *, workflow_id: str | None = None
    ) -> DbtRunOutput:
        """Starts a run and waits for its end. Raises as `start` and `DbtRunHandle.result` do."""
        return await (await self.start(run_input, workflow_id=workflow_id)).result()

    def handle(self, workflow_id: str) -> DbtRunHandle:
        """A run by the id of its workflow, whoever has started it. Whether there is one is not asked."""
        return DbtRunHandle(self._gateway, self._gateway.find(workflow_id))


class DbtRunHandle:
    """One run. Made by `DbtClient`."""

    def __init__(self, gateway: TemporalRunGateway, run: TemporalRun) -> None:
        self._gateway = gateway
        self._run = run

    @property
    def workflow_id(self) -> str:
        """The id of its workflow."""
        return self._run.workflow_id

    @property
    def temporal(self) -> WorkflowHandle[Any, Any]:
        """The SDK's handle, for whatever is not here: updates such as `set_fail_fast`, `retry_nodes`; the history."""
        return self._run.handle

    async def invocation_id(self) -> str:
        """dbt's invocation id, under which the artifacts lie.

        Raises:
            DbtTemporalError: of type Configuration, where there is no such run, or the server does not answer.
        """
        return await self._gateway.invocation_id(self.workflow_id)

    async def result(self) -> DbtRunOutput:
        """Waits for the end of the run, through outages of the server too. Who stops waiting leaves it running.

        Raises:
            DbtRunFailedError: nodes failed, the run could not begin, or it was ended from outside.
            DbtTemporalError: of type Configuration, where the server says that it will not tell.
        """
        outcome = await self._run.outcome()
        if outcome.ending is not Ending.COMPLETED or outcome.output is None:
            raise DbtRunFailedError(self.workflow_id, outcome)
        return outcome.output

    async def state(self, *, with_nodes: bool = True) -> DbtRunState | None:
        """Where the run stands, with the log lines that no earlier call has had; None where no worker answers.

        Args:
            with_nodes: whether `node_status` is asked for.
        """
        snapshot = await self._run.snapshot(with_nodes=with_nodes)
        return None if snapshot is None else DbtRunState.of(snapshot)

    async def follow(self, *, with_nodes: bool = True) -> AsyncGenerator[DbtRunState]:
        """The run's states, four times a second at most, from now to its end. `result` says how it ended.

        The first one has all lines of the log so far. A reader who is slow misses states between, and no lines.

        Args:
            with_nodes: whether `node_status` is asked for.

        Raises:
            DbtTemporalError: of type Configuration, where the server says that it will not tell.
        """
        # A run of its own: what it has seen of the log is nobody else's business.
        async with aclosing(states_of(TemporalRun(self._run.handle), self._gateway, with_nodes=with_nodes)) as states:
            async for state in states:
                yield state

    async def cancel(self) -> None:
        """Asks the run to stop, and does not wait: it ends its statements and stores its artifacts first.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not answer.
        """
        await self._run.cancel()

    async def terminate(self, reason: str = "") -> None:
        """Ends the workflow at once, without a worker's part in it. `cancel` is better where a worker lives.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not answer.
        """
        await self._run.terminate(reason)
