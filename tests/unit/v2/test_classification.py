"""What errors of dbt v2 mean for another attempt."""

from __future__ import annotations

import pytest

from dbt_temporal.adapters.dbt_v2.processes.told import ProcessTold
from dbt_temporal.adapters.dbt_v2.results import classify, command_error
from dbt_temporal.domain.errors import ErrorType


@pytest.mark.parametrize(
    ("name", "text", "error_type", "retryable"),
    [
        ("JinjaError", "Failed to render SQL: no such macro", ErrorType.COMPILATION, False),
        ("DependencyNotFound", "Ref 'nope' not found in project", ErrorType.COMPILATION, False),
        ("MacroSyntaxInvalid", "syntax error: unexpected end of block", ErrorType.COMPILATION, False),
        ("DbSyntaxInvalid", 'relation "x" does not exist (SQLSTATE: 42P01)', ErrorType.ADAPTER, False),
        ("DbDriverFailed", "ERROR:  deadlock detected (SQLSTATE: 40P01)", ErrorType.ADAPTER, True),
        ("DbDriverFailed", "[libpq] Failed to connect: Connection refused", ErrorType.ADAPTER, True),
        ("DbDriverFailed", 'IO Error: Could not set lock on file "x"', ErrorType.ADAPTER, True),
        ("DbDriverFailed", "Database Error in model x\n  TransactionContext Error: Conflict", ErrorType.ADAPTER, True),
        ("DbDriverFailed", "Conversion Error: Could not convert string", ErrorType.ADAPTER, False),
        ("DbDriverFailed", "something that nobody has seen", ErrorType.ADAPTER, False),
        ("InvalidConfig", "target 'x' not found in profile", ErrorType.CONFIGURATION, False),
        ("IoError", "Profile 'x' not found in profiles.yml\n  --> x.yml:2:10", ErrorType.CONFIGURATION, False),
        ("JinjaError", "ERROR: server closed the connection unexpectedly", ErrorType.ADAPTER, True),
        ("TaskCancelled", "Cancelled: SQL statement execution was cancelled", ErrorType.ADAPTER, True),
    ],
)
def test_only_what_is_known_as_transient_is_worth_another_attempt(
    name: str, text: str, error_type: ErrorType, retryable: bool
) -> None:
    assert classify(name, text) == (error_type, retryable)


@pytest.mark.parametrize(
    "text",
    [
        "[libpq] Failed to execute query 'select 'connection refused' as timeout': ERROR:  division by zero",
        "Failed to prepare query: ERROR:  x\n\nQuery was: select 'deadlock'\n  from t (SQLSTATE: 42703)",
        "Binder Error: x\n  LINE 3: select 'deadlock detected'\n     ^",
    ],
)
def test_the_words_of_the_statement_do_not_count(text: str) -> None:
    assert classify("DbDriverFailed", text) == (ErrorType.ADAPTER, False)


def test_a_missing_driver_and_an_adapter_that_is_not_supported_are_told_with_what_to_do() -> None:
    told = ProcessTold()
    told.errors.append(("DbDriverFailed", "Driver not found: duckdb"))
    error = command_error(told, "")
    assert (error.error_type, error.retryable) == (ErrorType.CONFIGURATION, False)
    assert "docs/engines.md" in error.message
    told.errors[0] = ("InvalidConfig", "The 'x' adapter is not yet supported by dbt Fusion.")
    assert "DBT_ALLOW_EXPERIMENTAL_ADAPTERS=true" in command_error(told, "").message
