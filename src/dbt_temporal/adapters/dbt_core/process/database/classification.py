"""What a database's complaint means for another attempt: SQLSTATE first, then the driver's exception class, then words.

SQLSTATE classes are those of the SQL standard and of PostgreSQL's appendix A (error codes); exception names are those
of PEP 249, of DuckDB's Python client and of Google's API client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dbt_temporal.domain.errors import ErrorType

Classification = tuple[ErrorType, bool]
"""The error's type, and whether another attempt may help."""

TRANSIENT: Classification = (ErrorType.ADAPTER, True)
PERMANENT: Classification = (ErrorType.ADAPTER, False)

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

_PERMANENT_CLASSES = frozenset(
    {
        # DuckDB
        "BinderException",
        "CatalogException",
        "ConstraintException",
        "ConversionException",
        "DependencyException",
        "InvalidInputException",
        "InvalidTypeException",
        "NotImplementedException",
        "OutOfRangeException",
        "ParserException",
        "PermissionException",
        "SyntaxException",
        "TypeMismatchException",
        # Google
        "BadRequest",
        "Forbidden",
        "NotFound",
        "Unauthorized",
        # PEP 249
        "DataError",
        "IntegrityError",
        "NotSupportedError",
        "ProgrammingError",
    }
)
_TRANSIENT_CLASSES = frozenset(
    {
        # DuckDB
        "ConnectionException",
        "HTTPException",
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
        "BrokenPipeError",
        "ConnectionError",
        "ConnectionRefusedError",
        "ConnectionResetError",
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


def classify_database_error(sqlstate: str | None, class_names: Sequence[str], message: str) -> Classification:
    """Says whether the database refused the statement itself, or could not run it this time.

    Args:
        sqlstate: the five characters that the driver gives, or None.
        class_names: the driver exception's class and its bases, most special first.
        message: the database's message.
    """
    state = sqlstate or _state_in(message)
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


def _state_in(message: str) -> str | None:
    found = _STATE_IN_MESSAGE.search(message)
    return found.group(1) if found else None
