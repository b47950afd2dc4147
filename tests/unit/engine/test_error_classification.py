"""Which errors are worth another attempt: by SQLSTATE, by class, by words."""

import csv
import errno

import duckdb
import pytest
from dbt.exceptions import ParsingError

from dbt_temporal.adapters.database_errors import classify_database_error
from dbt_temporal.adapters.dbt_core.process.database.classification import as_temporal_error, classify_exception
from dbt_temporal.adapters.temporal.failures import unexpected_to_application_error
from dbt_temporal.domain.errors import ErrorType
from tests.unit.engine.foreign_errors import driver_error


def retried(sqlstate: str | None, names: list[str], message: str) -> bool:
    error_type, retryable = classify_database_error(sqlstate, names, message)
    assert error_type is ErrorType.ADAPTER
    return retryable


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("42601", "syntax error"),
        ("42P01", "missing relation"),
        ("42703", "missing column"),
        ("42501", "permission denied"),
        ("22P02", "text that is no number"),
        ("22012", "division by zero"),
        ("23502", "null where none is allowed"),
        ("28P01", "wrong password"),
        ("0A000", "unsupported"),
        ("54001", "statement too complex"),
    ],
)
def test_a_statement_that_the_database_calls_wrong_is_not_retried(state: str, meaning: str) -> None:
    assert not retried(state, ["Error"], meaning)


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("08006", "connection lost"),
        ("40001", "serialization failure"),
        ("40P01", "deadlock"),
        ("53300", "too many connections"),
        ("55P03", "lock not available"),
        ("57014", "statement timeout, or cancelled by somebody else"),
        ("57P01", "server shuts down"),
        ("XX000", "tuple concurrently updated"),
    ],
)
def test_a_statement_that_only_had_bad_luck_is_retried(state: str, meaning: str) -> None:
    assert retried(state, ["ProgrammingError"], meaning)


def test_two_sessions_that_create_the_same_object_at_once_are_a_matter_of_luck() -> None:
    message = 'duplicate key value violates unique constraint "pg_type_typname_nsp_index"'

    assert retried("23505", ["UniqueViolation"], message)
    assert not retried("23505", ["UniqueViolation"], 'violates unique constraint "orders_pkey"')


@pytest.mark.parametrize("state", ["42P06", "42P07", "42710"])
def test_an_object_that_exists_already_may_not_be_in_the_way_next_time(state: str) -> None:
    assert retried(state, ["DuplicateTable", "ProgrammingError"], "already exists")


@pytest.mark.parametrize(
    "name", ["CatalogException", "ParserException", "BinderException", "ConversionException", "ProgrammingError"]
)
def test_without_a_state_the_drivers_class_says_that_the_statement_is_wrong(name: str) -> None:
    assert not retried(None, [cls.__name__ for cls in getattr(duckdb, name).__mro__], "something")


@pytest.mark.parametrize("name", ["IOException", "InterruptException", "TransactionException", "ServiceUnavailable"])
def test_without_a_state_the_drivers_class_says_that_it_was_bad_luck(name: str) -> None:
    assert retried(None, [name, "Error"], "something")


def test_the_most_special_class_that_is_known_decides() -> None:
    assert retried(None, ["IOException", "OperationalError", "ProgrammingError"], "Could not set lock on file")
    assert not retried(None, ["Unheard", "CatalogException", "ProgrammingError"], "Table does not exist")


def test_a_conflict_between_writers_is_retried_whatever_its_class() -> None:
    assert retried(None, ["CatalogException"], "Catalog write-write conflict on create with t")


def test_a_state_in_the_message_counts_where_the_driver_gives_none() -> None:
    assert not retried(None, ["ServerOperationError"], "[TABLE_OR_VIEW_NOT_FOUND] ... SQLSTATE: 42P01")
    assert retried(None, ["ProgrammingError"], "conflict, SQLSTATE: 40001")


@pytest.mark.parametrize("message", ["Parser Error: syntax error at end of input", "Permission denied for schema x"])
def test_without_state_and_class_the_words_decide(message: str) -> None:
    assert not retried(None, [], message)


def test_what_nobody_knows_is_not_retried() -> None:
    assert not retried(None, ["Exception"], "the wheel fell off")
    assert not retried("ZZ999", ["Error"], "the wheel fell off")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset by peer"),
        TimeoutError("too slow"),
        MemoryError(),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_python_lacks_for_a_while_is_retried_in_planning_and_in_nodes(error: Exception) -> None:
    assert classify_exception(error) == (ErrorType.ADAPTER, True)
    assert as_temporal_error(error).retryable
    assert not unexpected_to_application_error(error).non_retryable


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENAMETOOLONG, "File name too long"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        csv.Error("field larger than field limit (131072)"),
        TypeError("unhashable type: 'list'"),
        KeyError("finance"),
        RecursionError("maximum recursion depth exceeded"),
        RuntimeError("the wheel fell off"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ],
)
def test_what_nobody_foresaw_is_not_retried_in_planning_nor_in_nodes(error: Exception) -> None:
    assert not classify_exception(error)[1]
    assert not as_temporal_error(error).retryable
    assert unexpected_to_application_error(error).non_retryable


def test_an_unforeseen_error_of_planning_is_told_with_its_class() -> None:
    assert as_temporal_error(KeyError("finance")).message == "KeyError: 'finance'"


def test_an_error_whose_text_alone_is_left_is_known_by_its_words() -> None:
    assert classify_exception(None, "server closed the connection unexpectedly") == (ErrorType.ADAPTER, True)
    assert classify_exception(None, "ERROR") == (ErrorType.ADAPTER, False)


def test_an_error_of_compiling_stays_one_whatever_library_raised_it() -> None:
    error = ParsingError("models/a.yml is wrong")
    error.__cause__ = driver_error("jsonschema.exceptions ValidationError", "'a' is not of type 'integer'")
    assert classify_exception(error) == (ErrorType.COMPILATION, False)
