"""What dbt v2 has told of nodes, hooks and its own end, as results and errors of the run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from dbt_temporal.adapters.database_errors import PERMANENT, TRANSIENT, Classification, verdict
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.told import BAD, CANCELLED, GOOD, ProcessTold, Told
from dbt_temporal.application.ports.engine import NodeErrorClass, NodeOutcome
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error
from dbt_temporal.domain.log.said import plain
from dbt_temporal.domain.results import NodeExecutionResult, NodeStatus, TimingEntry

FAIL_FAST_MESSAGE = "Skipping due to fail_fast"
_UPSTREAM = "Skipped due to upstream failure"
PANICKED = "error"
"""The status of a node whose task panicked: dbt has an error of it and no result."""

_DATABASE = frozenset({"DbDriverFailed", "DbSyntaxInvalid"})
"""dbt's names of what the database or its driver said."""
_COMPILATION = frozenset({"DependencyNotFound", "MacroSyntaxInvalid"})
"""dbt's names of what it said of files, in words that databases have too."""
_CONFIGURATION = frozenset({"InvalidConfig", "SelectorError", "InvalidArgument", "MissingRequiredConfig"})
_DUCKDB_ERROR = re.compile(
    r"^\s*(IO|Out of Memory|TransactionContext|Connection|INTERRUPT|Interrupt) Error: ", re.MULTILINE
)
_DUCKDB_CLASSES = {
    "IO": "IOException",
    "Out of Memory": "OutOfMemoryException",
    "TransactionContext": "TransactionException",
    "Connection": "ConnectionException",
    "INTERRUPT": "InterruptException",
    "Interrupt": "InterruptException",
}
_STATEMENTS = (
    re.compile(r"Failed to execute query '.*?': (?=[A-Z]+: )", re.DOTALL),
    re.compile(r"^Query was: .*?(?=\(SQLSTATE|\Z)", re.DOTALL | re.MULTILINE),
    re.compile(r"^\s*LINE \d+: .*$", re.MULTILINE),
)
"""What repeats the statement: its words say nothing of the error."""
_NO_CONNECTION = re.compile(r"Failed to connect", re.IGNORECASE)
_LOCKED_OUT = re.compile(r"could not set lock on file", re.IGNORECASE)
_NO_DRIVER = re.compile(r"Driver not found|from the CDN|HTTP error: io: failed to lookup")
_NO_ADAPTER = re.compile(r"adapter is not yet supported")
_NO_PROFILE = re.compile(r"^Profile '.*' not found in profiles\.yml")
"""An `IoError` by its name, and like a missing relation by its words."""
_TELLS_THE_RESULT = {"success": "Succeeded", "pass": "Pass", "warn": "Warn", "no-op": "Skipped"}
"""dbt's own messages of nodes without an error."""


def outcome_of(told: Told, resource_type: str, *, as_code: bool = False) -> NodeOutcome:
    """How an attempt at a node ended. `as_code` says that what dbt shows of it is its compiled code."""
    word = told.status or PANICKED
    status: NodeStatus = "success" if word in GOOD else "skipped" if word == "skipped" else "error"
    said = "\n".join(told.said) or None
    result = NodeExecutionResult(
        unique_id=told.unique_id,
        status=status,
        dbt_status=word,
        execution_time=told.seconds,
        message=_message(told, word),
        timing=_timing(told),
        failures=told.failures,
        output=plain(said) if said is not None and told.shown else None,
        messages=None if told.shown else said,
        compiled_code=(told.shown or None) if as_code else None,
    )
    return NodeOutcome(
        result=result,
        error=None if word not in BAD else node_error(told, resource_type),
        record=orjson.dumps(result_entry(told)),
        log="".join(f"{line}\n" for line in told.log),
    )


def kept_back(unique_id: str) -> NodeOutcome:
    """The outcome of a node that fail-fast kept from running, or ended."""
    result = NodeExecutionResult(unique_id=unique_id, status="skipped", dbt_status="skipped", message=FAIL_FAST_MESSAGE)
    return NodeOutcome(result=result)


def skipped_for(unique_id: str) -> NodeOutcome:
    """The outcome of a node that was not begun, because something above it has not ended well."""
    message = _UPSTREAM
    return NodeOutcome(
        NodeExecutionResult(unique_id=unique_id, status="skipped", dbt_status="skipped", message=message)
    )


def result_entry(told: Told) -> dict[str, Any]:
    """What run_results.json has of a node, as far as events tell it."""
    word = told.status or PANICKED
    return {
        "status": "skipped" if word == "no-op" else word,
        "timing": [entry.model_dump(mode="json") for entry in _timing(told)],
        "thread_id": "",
        "execution_time": told.seconds,
        "adapter_response": {},
        "message": _message(told, word),
        "failures": told.failures,
        "unique_id": told.unique_id,
    }


def node_error(told: Told, resource_type: str) -> NodeErrorClass:
    """The type of a node's failure, and whether it is worth another attempt."""
    error_type, retryable = classify(told.error_name, told.error) if told.error else (ErrorType.ADAPTER, False)
    if told.status == "fail" and not retryable:
        error_type = ErrorType.UNIT_TEST_FAILURE if resource_type == "unit_test" else ErrorType.TEST_FAILURE
    return NodeErrorClass(error_type.value, retryable, retryable and _is_unreachable(told.error))


def classify(name: str, text: str) -> Classification:
    """What an error means for another attempt, by dbt's name of its kind and by the database's words.

    Only what is known as transient is worth one.
    """
    words = text
    for statement in _STATEMENTS:
        words = statement.sub("", words)
    if name in _CONFIGURATION or any(said.search(words) for said in (_NO_DRIVER, _NO_ADAPTER, _NO_PROFILE)):
        return ErrorType.CONFIGURATION, False
    if name in _COMPILATION:
        return ErrorType.COMPILATION, False
    found = _DUCKDB_ERROR.search(words)
    known = verdict(None, [_DUCKDB_CLASSES[found[1]]] if found else [], words)
    if known == TRANSIENT or name == CANCELLED:
        return TRANSIENT
    return PERMANENT if name in _DATABASE or known is not None else (ErrorType.COMPILATION, False)


def command_error(told: ProcessTold, otherwise: str) -> DbtTemporalError:
    """Why a command has failed; `otherwise` where it did not say."""
    if not told.errors:
        return configuration_error(otherwise)
    name, text = told.errors[0]
    texts = "\n".join(dict.fromkeys(each for _, each in told.errors))
    error_type, retryable = classify(name, text)
    return DbtTemporalError(
        error_type, _with_advice(texts), retryable=retryable, unreachable=retryable and _is_unreachable(text)
    )


def says_locked_out(text: str) -> bool:
    """Whether an error says that another process has the database."""
    return _LOCKED_OUT.search(text) is not None


class EndingsJudge:
    """Says of processes and nodes what their endings mean. Implements `Judge`; `fails_fast` is dbt's resolved flag."""

    def __init__(self, fails_fast: Callable[[], bool] = lambda: True) -> None:
        self._fails_fast = fails_fast

    def ends_with_failures(self) -> bool:
        return self._fails_fast()

    def may_be_mended(self, told: Told) -> bool:
        return node_error(told, "").retryable

    def failure_before_nodes(self, process: V2Process) -> DbtTemporalError | None:
        told = process.told
        if not process.ended.is_set() or told.has_begun or process.interrupted:
            return None
        hook = told.failed_hook
        if hook is not None:
            error_type, retryable = classify(hook.error_name, hook.error)
            return DbtTemporalError(error_type, f"{hook.unique_id}: {hook.error}", retryable=retryable)
        if told.errors:
            return command_error(told, "")
        if process.died:
            return DbtTemporalError(ErrorType.ENGINE_CRASHED, process.why_died())
        return None

    def refuse_bad_end(self, processes: Sequence[V2Process]) -> None:
        """Raises what went wrong of a run's last process that neither a node nor a hook tells of."""
        last = processes[-1] if processes else None
        if last is None or last.interrupted:
            return
        if last.died:
            raise DbtTemporalError(ErrorType.ENGINE_CRASHED, last.why_died(), retryable=False)
        known = (*last.told.nodes.values(), *last.told.hooks.values())
        words = {told.status for told in known if told.finished or told.started_at or told.error}
        if not last.told.success and words <= GOOD:
            raise command_error(last.told, "dbt v2 has failed, and does not say why")

    def is_locked_out(self, process: V2Process) -> bool:
        told = process.told
        if not process.ended.is_set() or told.has_begun:
            return False
        return any(says_locked_out(text) for _, text in told.errors)


def _message(told: Told, word: str) -> str | None:
    if told.error:
        return told.error
    if word == "fail" and told.failures is not None:
        return f"The test found {told.failures} result{'' if told.failures == 1 else 's'}"
    return _TELLS_THE_RESULT.get(word) or (_UPSTREAM if word == "skipped" else None)


def _timing(told: Told) -> list[TimingEntry]:
    if not told.started_at or not told.finished_at:
        return []
    executing = told.executing_at or told.started_at
    return [
        TimingEntry(name="compile", started_at=told.started_at, completed_at=executing),
        TimingEntry(name="execute", started_at=executing, completed_at=told.finished_at),
    ]


def _is_unreachable(text: str) -> bool:
    return _NO_CONNECTION.search(text) is not None


def _with_advice(text: str) -> str:
    if _NO_DRIVER.search(text):
        return f"{text}\nThe driver of this database is not on this machine: docs/engines.md says how it gets there"
    if _NO_ADAPTER.search(text):
        return (
            f"{text}\nSet DBT_ALLOW_EXPERIMENTAL_ADAPTERS=true for the worker to try it all the same, or let the "
            "project run on dbt-core (`engine: dbt-core` in dbt_temporal.yml)"
        )
    return text
