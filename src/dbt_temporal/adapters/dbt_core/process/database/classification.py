"""What an error means for another attempt, told here, where the exception and its cause still are.

Errors of a database: SQLSTATE first, then the driver's exception class, then words. SQLSTATE classes are those of the
SQL standard and of PostgreSQL's appendix A (error codes); exception names are those of PEP 249, of DuckDB's Python
client and of Google's API client. Exception classes of dbt checked on dbt-core 1.11.16 and 1.12.0, dbt-common 1.39,
dbt-adapters 1.24.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import dbt.exceptions
import dbt_common.exceptions
from dbt.adapters.exceptions import FailedToConnectError
from dbt.cli.exceptions import DbtUsageException

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

Classification = tuple[ErrorType, bool]
"""The error's type, and whether another attempt may help."""

TRANSIENT: Classification = (ErrorType.ADAPTER, True)
PERMANENT: Classification = (ErrorType.ADAPTER, False)
COMPILATION: Classification = (ErrorType.COMPILATION, False)
CONFIGURATION: Classification = (ErrorType.CONFIGURATION, False)

_DUPLICATES = frozenset({"42P06", "42P07", "42710"})
"""A schema, table or object that exists already: somebody else was faster, or our view of the schema was old."""

_PERMANENT_STATE_CLASSES = frozenset(
    {
        "0A",  # feature not supported
        "21",  # cardinality violation
        "22",  # data exception: type conversion, division by zero
        "23",  # integrity constraint violation
        "26",  # no such prepared statement
        "28",  # invalid authorization
        "2B",
        "2F",
        "34",
        "38",
        "39",
        "3D",  # no such database
        "3F",  # no such schema
        "42",  # syntax error, missing relation, permission denied
        "44",
        "54",  # a limit of the database that the statement exceeds
    }
)
_CATALOG_RACE = re.compile(r"pg_(type_typname_nsp|class_relname_nsp|namespace_nspname|proc_proname_args_nsp)_index")
"""Two sessions that create the same object at once: PostgreSQL reports its own catalog's unique index (23505)."""

_STATE_IN_MESSAGE = re.compile(r"\bSQLSTATE[:=]?\s*\[?([0-9A-Z]{5})\b", re.IGNORECASE)

# A class that is not named here counts as its base does: most of DuckDB's are derived from PEP 249's.
_PERMANENT_CLASSES = frozenset(
    {
        # PEP 249
        "DataError",
        "IntegrityError",
        "NotSupportedError",
        "ProgrammingError",
        # DuckDB
        "DependencyException",
        "PermissionException",
        # Google
        "BadRequest",
        "Forbidden",
        "NotFound",
        "Unauthorized",
    }
)
_TRANSIENT_CLASSES = frozenset(
    {
        # DuckDB
        "ConnectionException",
        "InterruptException",
        "IOException",
        "OutOfMemoryException",
        "TransactionException",
        # Google
        "BadGateway",
        "GatewayTimeout",
        "InternalServerError",
        "RetryError",
        "ServiceUnavailable",
        "TooManyRequests",
        # Python
        "ConnectionError",
        "TimeoutError",
    }
)
_CONFLICT = re.compile(r"write-write conflict|could not serialize|deadlock|concurrent(ly)? (update|transaction)", re.I)
_PERMANENT_WORDS = re.compile(
    r"syntax error|parser error|binder error|catalog error|conversion error"
    r"|does not exist|not found in|permission denied|access denied|not authorized|insufficient privileges"
    r"|password authentication failed|division by zero|invalid input syntax|could not convert|cannot cast",
    re.IGNORECASE,
)

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


def classify_exception(error: BaseException | None) -> Classification:
    if error is None:
        return TRANSIENT
    return _known(error) or _by_mistake(error)


def as_temporal_error(error: BaseException) -> DbtTemporalError:
    """An error of setting a run up: loading, planning, schemas, hooks, artifacts. Keeps dbt's own message."""
    if isinstance(error, DbtTemporalError):
        return error
    error_type, retryable = _known(error) or _of_setup(error)
    return DbtTemporalError(error_type, str(error).strip() or type(error).__name__, retryable=retryable)


def classify_database_error(sqlstate: str | None, class_names: Sequence[str], message: str) -> Classification:
    """Says whether the database refused the statement itself, or could not run it this time.

    Args:
        sqlstate: the five characters that the driver gives, or None.
        class_names: the driver exception's class and its bases, most special first.
        message: the database's message.
    """
    in_message = _STATE_IN_MESSAGE.search(message)
    state = sqlstate or (in_message.group(1) if in_message else None)
    if state:
        return _by_state(state.upper(), message)
    if _CONFLICT.search(message):
        return TRANSIENT
    for name in class_names:
        if name in _PERMANENT_CLASSES:
            return PERMANENT
        if name in _TRANSIENT_CLASSES:
            return TRANSIENT
    return PERMANENT if _PERMANENT_WORDS.search(message) else TRANSIENT


def _by_state(state: str, message: str) -> Classification:
    if state in _DUPLICATES or (state[:2] == "23" and _CATALOG_RACE.search(message)):
        return TRANSIENT
    return PERMANENT if state[:2] in _PERMANENT_STATE_CLASSES else TRANSIENT


def _known(error: BaseException) -> Classification | None:
    """What is certain by the exception's class or that of its cause; None where that leaves it open.

    Introspective queries run while compiling; what the database says of them comes first.
    """
    driver = next((link for link in _chain(error) if _comes_from_driver(link)), None)
    if driver is not None:
        state = getattr(driver, "pgcode", None) or getattr(driver, "sqlstate", None)
        names = [cls.__name__ for cls in type(driver).__mro__]
        return classify_database_error(state if isinstance(state, str) else None, names, str(driver))
    if isinstance(error, FailedToConnectError):
        return TRANSIENT
    if isinstance(error, _CONFIGURATION_ERRORS):
        return CONFIGURATION
    return COMPILATION if isinstance(error, _COMPILATION_ERRORS) else None


def _by_mistake(error: BaseException) -> Classification:
    if any(isinstance(link, _MISTAKES_IN_CODE) for link in _chain(error)):
        return PERMANENT
    return classify_database_error(None, [], str(error))


def _of_setup(error: BaseException) -> Classification:
    if str(error).startswith("Found a cycle"):
        return COMPILATION
    if isinstance(error, dbt_common.exceptions.DbtDatabaseError):
        return _by_mistake(error)
    if isinstance(error, (dbt_common.exceptions.DbtBaseException, ValueError, OSError)):
        return CONFIGURATION
    return TRANSIENT


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
