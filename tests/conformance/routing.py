"""`run_dbt` of dbt's scenarios, and what takes its place: the same command line, run by us.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `dbt.tests.util`, `dbt.flags.set_flags`,
`dbt.adapters.factory`, `DuckDBConnectionManager._ENV`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dbt.tests.util
from dbt.adapters.factory import FACTORY, get_adapter, register_adapter, reset_adapters
from dbt.cli.flags import Flags
from dbt.config.runtime import RuntimeConfig
from dbt.context.providers import generate_runtime_macro_context
from dbt.contracts.graph.manifest import Manifest
from dbt.flags import get_flags, set_flags
from dbt.materializations.incremental.microbatch import MicrobatchBuilder
from dbt.mp_context import get_mp_context
from dbt_common.exceptions import DbtBaseException

from tests.conformance.arguments import NotOursError, RunRequest, run_request
from tests.conformance.results import exception_of, result_of, take_over
from tests.conformance.worker.client import ServiceClient
from tests.conformance.worker.service import Answer

BY_COMMAND_LINE = dbt.tests.util.run_dbt
BY_COMMAND_LINE_CAPTURED = dbt.tests.util.run_dbt_and_capture

_NOT_OF_THE_RUN = frozenset({"DBT_PROFILES_DIR", "DBT_LOG_PATH", "PYTEST_CURRENT_TEST", "TERM"})
_NOT_OF_THE_RUN_PREFIX = "PYTEST_XDIST_"


@dataclass
class Taken:
    """Which way a scenario's command lines took: how many ran through us, and those that only dbt's own could run."""

    runs: int = 0
    left: list[str] = field(default_factory=list)


class Router:
    """Stands for `run_dbt` in every module of the scenarios. `service` is None while dbt's own runs are to be seen."""

    def __init__(self) -> None:
        self.service: ServiceClient | None = None
        self.taken = Taken()
        self._manifests: dict[Path, Manifest] = {}

    def install(self) -> None:
        """Replaces `run_dbt` and `run_dbt_and_capture` wherever scenarios have imported them."""
        places: dict[Callable[..., Any], Callable[..., Any]] = {
            BY_COMMAND_LINE: self.run_dbt,
            BY_COMMAND_LINE_CAPTURED: self.run_dbt_and_capture,
        }
        for name, module in list(sys.modules.items()):
            if not name.startswith("dbt.tests."):
                continue
            for attribute, value in list(vars(module).items()):
                if inspect_is_function(value) and value in places:
                    setattr(module, attribute, places[value])

    def run_dbt(self, args: list[str] | None = None, expect_pass: bool | None = True, callbacks: Any = None) -> Any:
        """See `dbt.tests.util.run_dbt`. Events of a run of ours fire in other processes, and reach no callback."""
        return self._run(args, expect_pass, callbacks)[0]

    def run_dbt_and_capture(self, args: list[str] | None = None, expect_pass: bool | None = True) -> tuple[Any, str]:
        """See `dbt.tests.util.run_dbt_and_capture`. The text of a run of ours is its logs, whatever their level."""
        if self.service is None:
            return BY_COMMAND_LINE_CAPTURED(args, expect_pass=expect_pass)  # type: ignore[no-any-return]
        return self._run(args, expect_pass, None, captured=True)

    def _run(
        self, args: list[str] | None, expect_pass: bool | None, callbacks: Any, *, captured: bool = False
    ) -> tuple[Any, str]:
        words = ["run"] if args is None else args
        if self.service is None:
            return BY_COMMAND_LINE(words, expect_pass=expect_pass, callbacks=callbacks), ""
        try:
            request = run_request(_with_folders(words))
        except NotOursError as reason:
            self.taken.left.append(str(reason))
            if captured:
                return BY_COMMAND_LINE_CAPTURED(words, expect_pass=expect_pass)  # type: ignore[no-any-return]
            return BY_COMMAND_LINE(words, expect_pass=expect_pass, callbacks=callbacks), ""
        self.taken.runs += 1
        # By our clock it would be thousands of batches.
        assert not hasattr(MicrobatchBuilder.build_end_time, "return_value"), (
            "the batches end by a clock of this process"
        )
        answer, result = self._route(request)
        error = exception_of(answer)
        if error is not None:
            raise error
        if expect_pass is not None:
            # The words of dbt's own, so that two verdicts can be compared.
            assert answer.success == expect_pass, f"dbt exit state did not match expected\n{answer.message}"
        # As a part of a line of JSON has it.
        return result, json.dumps(answer.log) if request.option("log_format") == "json" else answer.log

    def _route(self, request: RunRequest) -> tuple[Answer, Any]:
        assert self.service is not None
        flags = Flags(request.context)
        project_dir = Path(str(flags.PROJECT_DIR)).resolve()
        set_flags(flags)
        _let_go_of_databases()
        given = {**request.input, "env": {**self._environment(), **request.input.get("env", {})}}
        answer = self.service.run(project_dir, Path(str(flags.PROFILES_DIR)).resolve(), given)
        manifest = take_over(answer, project_dir / "target")
        if manifest is not None:
            self._manifests = {project_dir: manifest}  # a command may leave none, and dbt has it all the same
        if answer.success is not None:
            _register_adapter(flags, self._manifests.get(project_dir))
        return answer, result_of(request.input["command"], answer, manifest)

    def _environment(self) -> dict[str, str]:
        """What the scenario has set since the service began."""
        assert self.service is not None
        before = self.service.environ
        return {
            name: value
            for name, value in os.environ.items()
            if before.get(name) != value and name not in _NOT_OF_THE_RUN and not name.startswith(_NOT_OF_THE_RUN_PREFIX)
        }


def inspect_is_function(value: Any) -> bool:
    """Whether a value can be one of the functions that are replaced; others may not even be hashable."""
    return callable(value) and hasattr(value, "__code__")


def _with_folders(args: Sequence[str]) -> list[str]:
    """The arguments with the folders that `run_dbt` itself would add."""
    words = [str(arg) for arg in args]
    flags = get_flags()
    for option, name in (("--project-dir", "PROJECT_DIR"), ("--profiles-dir", "PROFILES_DIR")):
        folder = getattr(flags, name, None)
        if folder and option not in words:
            words += [option, str(folder)]
    return words


def _let_go_of_databases() -> None:
    """Closes what this process holds open: a DuckDB file has room for one process."""
    for adapter in FACTORY.adapters.values():
        adapter.cleanup_connections()
    # Its file is open for all adapters of the process together, those that a command of dbt's own has left among them.
    duckdb = sys.modules.get("dbt.adapters.duckdb.connections")
    manager: Any = getattr(duckdb, "DuckDBConnectionManager", None)
    if manager is not None and manager._ENV is not None:
        manager._ENV.close()
        manager._ENV = None


def _register_adapter(flags: Flags, manifest: Manifest | None) -> None:
    """A new adapter for the scenario, as each run of the command line leaves one: its cache knows nothing old."""
    try:
        config = RuntimeConfig.from_args(flags)
    except DbtBaseException:
        return  # a scenario's project may be broken on purpose
    reset_adapters()
    register_adapter(config, get_mp_context())
    adapter = get_adapter(config)
    if manifest is not None:
        adapter.set_macro_resolver(manifest)
        adapter.set_macro_context_generator(generate_runtime_macro_context)
    adapter.acquire_connection("master")  # which a command leaves to the thread that ran it; nothing is opened yet
