"""What an error means for another attempt, told here, where the exception and its cause still are.

Only what is known as transient is worth another attempt. Exception classes of dbt checked on dbt-core 1.11.16 and
1.12.0, dbt-common 1.39, dbt-adapters 1.24.
"""

from __future__ import annotations

from collections.abc import Iterator

import dbt.exceptions
import dbt_common.exceptions
from dbt.adapters.exceptions import FailedToConnectError
from dbt.cli.exceptions import DbtUsageException

from dbt_temporal.adapters.database_errors import (
    PERMANENT,
    TRANSIENT,
    Classification,
    classify_database_error,
    sqlstate_of,
    verdict,
)
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, is_transient

COMPILATION: Classification = (ErrorType.COMPILATION, False)
CONFIGURATION: Classification = (ErrorType.CONFIGURATION, False)

_COMPILATION_ERRORS = (
    dbt_common.exceptions.CompilationError,
    dbt.exceptions.ParsingError,
    dbt.exceptions.ContractError,
    dbt_common.exceptions.DbtValidationError,
)
_CONFIGURATION_ERRORS = (
    dbt_common.exceptions.DbtConfigError,
    dbt.exceptions.EnvVarMissingError,
    DbtUsageException,
)
_MISTAKES_IN_CODE = (ArithmeticError, AttributeError, ImportError, LookupError, NameError, SyntaxError, TypeError)
"""What a Python model raises when it is wrong, rather than unlucky."""
_NOT_DRIVERS = frozenset(
    {"builtins", "dbt", "dbt_common", "jinja2", "click", "yaml", "json", "mashumaro", "dbt_temporal"}
)


def classify_exception(error: BaseException | None, message: str | None = None) -> Classification:
    """The type of a node's failure, and whether it is worth another attempt.

    Args:
        error: what was raised; None where dbt kept the text alone.
        message: that text.
    """
    if error is None:
        return classify_database_error(None, [], message or "")
    return _known(error) or _by_mistake(error)


def as_temporal_error(error: BaseException) -> DbtTemporalError:
    """An error of setting a run up: loading, planning, schemas, hooks, artifacts. Keeps dbt's own message."""
    if isinstance(error, DbtTemporalError):
        return error
    classification = _known(error) or _of_setup(error)
    message = str(error).strip()
    if classification is None:  # nobody foresaw it: its class says more than its text
        classification, message = PERMANENT, f"{type(error).__name__}: {message}"
    error_type, retryable = classification
    return DbtTemporalError(
        error_type,
        message or type(error).__name__,
        retryable=retryable,
        unreachable=is_unreachable(error, classification),
    )


def is_unreachable(error: BaseException | None, classification: Classification | None) -> bool:
    """Whether an error is that the database took no connection, which it may take later."""
    if error is None or classification != TRANSIENT:
        return False
    return any(isinstance(link, FailedToConnectError) for link in _chain(error))


def _known(error: BaseException) -> Classification | None:
    """What is certain by the exception's class or that of its cause; None where that leaves it open.

    Introspective queries run while compiling; what the database says of them comes first.
    """
    for link in _chain(error):
        if is_transient(link):
            return TRANSIENT
        classification = _of_driver(link) if _comes_from_driver(link) else None
        if classification is not None:
            return classification
    if isinstance(error, FailedToConnectError):
        return _of_driver(error)
    if isinstance(error, _CONFIGURATION_ERRORS):
        return CONFIGURATION
    return COMPILATION if isinstance(error, _COMPILATION_ERRORS) else None


def _of_driver(error: BaseException) -> Classification | None:
    return verdict(sqlstate_of(error), [cls.__name__ for cls in type(error).__mro__], str(error))


def _by_mistake(error: BaseException) -> Classification:
    if any(isinstance(link, _MISTAKES_IN_CODE) for link in _chain(error)):
        return PERMANENT
    return classify_database_error(None, [], str(error))


def _of_setup(error: BaseException) -> Classification | None:
    if str(error).startswith("Found a cycle"):
        return COMPILATION
    if isinstance(error, dbt_common.exceptions.DbtDatabaseError):
        return _by_mistake(error)
    if isinstance(error, (dbt_common.exceptions.DbtBaseException, ValueError, OSError)):
        return CONFIGURATION
    return None


def _comes_from_driver(error: BaseException) -> bool:
    # Every driver derives its errors from PEP 249's `Error` or has classes of its own module; dbt's are known.
    modules = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return not modules <= _NOT_DRIVERS


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
