"""Errors of dbt and of database drivers in our terms, told here, where the exception and its cause still are.

Exception classes checked on dbt-core 1.11.16 and 1.12.0, dbt-common 1.39, dbt-adapters 1.24.
"""

from __future__ import annotations

from collections.abc import Iterator

import dbt.exceptions
import dbt_common.exceptions
from dbt.adapters.exceptions import FailedToConnectError
from dbt.cli.exceptions import DbtUsageException

from dbt_temporal.adapters.dbt_core.process.database.classification import (
    PERMANENT,
    TRANSIENT,
    Classification,
    classify_database_error,
)
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

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


def classify_exception(error: BaseException | None) -> Classification:
    """The type of a node's failure, and whether it is worth another attempt."""
    if error is None:
        return TRANSIENT
    driver = driver_error(error)
    if isinstance(error, _CONFIGURATION_ERRORS):
        return CONFIGURATION
    if isinstance(error, _COMPILATION_ERRORS):
        # Introspective queries run while compiling; what the database says of them comes first.
        return COMPILATION if driver is None else _classify_driver(driver)
    if driver is not None:
        return _classify_driver(driver)
    if isinstance(error, FailedToConnectError):
        return TRANSIENT
    if any(isinstance(link, _MISTAKES_IN_CODE) for link in _chain(error)):
        return PERMANENT
    return classify_database_error(None, [], str(error))


def as_temporal_error(error: BaseException) -> DbtTemporalError:
    """An error of setting a run up: loading, planning, schemas, hooks, artifacts. Keeps dbt's own message."""
    if isinstance(error, DbtTemporalError):
        return error
    error_type, retryable = _classify_setup(error)
    return DbtTemporalError(error_type, str(error).strip() or type(error).__name__, retryable=retryable)


def driver_error(error: BaseException) -> BaseException | None:
    """The database driver's exception behind dbt's, if there is one."""
    return next((link for link in _chain(error) if _comes_from_driver(link)), None)


def _classify_setup(error: BaseException) -> Classification:
    if driver_error(error) is not None or isinstance(error, FailedToConnectError):
        return classify_exception(error)
    if isinstance(error, _CONFIGURATION_ERRORS):
        return CONFIGURATION
    if isinstance(error, _COMPILATION_ERRORS) or str(error).startswith("Found a cycle"):
        return COMPILATION
    if isinstance(error, dbt_common.exceptions.DbtDatabaseError):
        return classify_exception(error)
    if isinstance(error, (dbt_common.exceptions.DbtBaseException, ValueError, OSError)):
        return CONFIGURATION
    return TRANSIENT


def _classify_driver(error: BaseException) -> Classification:
    state = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
    names = [cls.__name__ for cls in type(error).__mro__]
    return classify_database_error(state if isinstance(state, str) else None, names, str(error))


def _comes_from_driver(error: BaseException) -> bool:
    # Every driver derives its errors from PEP 249's `Error` or has classes of its own module; dbt's are known.
    modules = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return not modules <= _OTHER_MODULES


_OTHER_MODULES = frozenset(
    {"builtins", "dbt", "dbt_common", "jinja2", "click", "yaml", "json", "mashumaro", "dbt_temporal"}
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
