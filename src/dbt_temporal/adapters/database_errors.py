"""What a database's error means for another attempt: SQLSTATE first, then the driver's exception class, then words.

Only what is known as transient is worth another attempt. SQLSTATE classes are those of the SQL standard and of
PostgreSQL's appendix A (error codes); exception names are those of PEP 249, of DuckDB's Python client, of Google's API
client and of the connectors of Snowflake and Databricks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dbt_temporal.domain.errors import ErrorType

Classification = tuple[ErrorType, bool]
"""The error's type, and whether another attempt may help."""

TRANSIENT: Classification = (ErrorType.ADAPTER, True)
PERMANENT: Classification = (ErrorType.ADAPTER, False)
_DUPLICATES = frozenset({"42P06", "42P07", "42710"})
"""A schema, table or object that exists already: somebody else was faster, or our view of the schema was old."""

_TRANSIENT_STATES = _DUPLICATES | {
    "25P03",  # a transaction that was idle for too long
    "2D521",  # Databricks: a concurrent writer of the same Delta table was faster
    "55006",  # object in use
    "55P03",  # lock not available
}
_TRANSIENT_STATE_CLASSES = frozenset(
    {
        "08",  # connection
        "40",  # transaction rolled back: serialization failure, deadlock
        "53",  # not enough resources
        "57",  # cancelled, shut down, starting up
        "72",  # snapshot too old
    }
)
_PERMANENT_STATE_CLASSES = frozenset(
    {
        "0A",  # feature not supported
        "21",  # cardinality violation
        "22",  # data exception: type conversion, division by zero
        "23",  # integrity constraint violation
        "26",  # no such prepared statement
        "28",  # invalid authorization
        "25",  # invalid transaction state
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
        "55",  # object not in the state that the statement needs
        "P0",  # raised by a procedure of the user
    }
)
_CATALOG_RACE = re.compile(r"pg_(type_typname_nsp|class_relname_nsp|namespace_nspname|proc_proname_args_nsp)_index")
"""Two sessions that create the same object at once: PostgreSQL reports its own catalog's unique index (23505)."""

_STATE = re.compile(r"[0-9A-Z]{5}")
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
        "SerializationException",
        # Google
        "BadRequest",
        "Forbidden",
        "NotFound",
        "Unauthorized",
    }
)
_TRANSIENT_CLASSES = frozenset(
    {
        # PEP 249; what Databricks raises of its network is derived from it
        "OperationalError",
        # DuckDB
        "ConnectionException",
        "IOException",
        "InterruptException",
        "OutOfMemoryException",
        "TransactionException",
        # Google
        "Aborted",
        "BadGateway",
        "GatewayTimeout",
        "InternalServerError",
        "RetryError",
        "ServiceUnavailable",
        "TooManyRequests",
        "TransportError",
        # Snowflake
        "BadGatewayError",
        "GatewayTimeoutError",
        "OtherHTTPRetryableError",
        "RequestTimeoutError",
        "ServiceUnavailableError",
        # HTTP clients
        "ChunkedEncodingError",
        "ConnectionError",
        "ProtocolError",
        "Timeout",
        "TimeoutError",
        # dbt
        "FailedToConnectError",
    }
)


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_TRANSIENT_IN_ANY_CLASS = _words(
    r"write-write conflict|could not serialize|deadlock|concurrent(ly)? (update|transaction)",
    r"serializable isolation violation|conflict with concurrent transaction",  # Redshift, as XX000
    r"exceeded rate limits|retrying the job may solve the problem",  # BigQuery, as Forbidden and BadRequest
    r'database "[^"]*" does not exist',  # a server that sets itself up listens before it has created it
)
_PERMANENT_WORDS = _words(
    r"syntax error|parser error|binder error|catalog error|conversion error",
    r"does not exist|not found in|permission denied|access denied|not authorized|insufficient privileges",
    r"password authentication failed|no pg_hba\.conf entry|incorrect username or password|JWT token is invalid",
    r"invalid access token|no active warehouse selected|HTTP 40[0134]\b",
    r"division by zero|invalid input syntax|could not convert|cannot cast",
    r"no such file|no files found|file name too long|is a directory|not a valid duckdb database|with version number",
)
_TRANSIENT_WORDS = _words(
    r"connection (was |is )?(already |forcibly )?(aborted|closed|lost|refused|reset|timed out)|connection failure",
    r"closed the connection|server socket closed|SSL SYSCALL|SSL connection has been closed|broken pipe|EOF detected",
    r"could not (connect|translate host name)|communication error|network is unreachable|no route to host",
    r"timed? ?out\b|too many (clients|connections|requests)|connection slots are reserved",
    r"temporar(y|ily) (failure|unavailable)|temporarily_unavailable|service unavailable|bad gateway",
    r"starting up|shutting down|in recovery mode|terminating connection|due to administrator command",
    r"could not set lock|cache lookup failed|could not open relation with OID",
    r"try again later|please retry",
)


def classify_database_error(sqlstate: str | None, class_names: Sequence[str], message: str) -> Classification:
    """Says whether the database refused the statement itself, or could not run it this time.

    Args:
        sqlstate: the five characters that the driver gives, or None.
        class_names: the driver exception's class and its bases, most special first.
        message: the database's message.
    """
    return verdict(sqlstate, class_names, message) or PERMANENT


def verdict(sqlstate: str | None, class_names: Sequence[str], message: str) -> Classification | None:
    """As `classify_database_error`; None where nothing of it is known."""
    in_message = _STATE_IN_MESSAGE.search(message)
    state = sqlstate or (in_message.group(1).upper() if in_message else "")
    if state in _TRANSIENT_STATES or (state[:2] == "23" and _CATALOG_RACE.search(message)):
        return TRANSIENT
    if state[:2] in _PERMANENT_STATE_CLASSES and not (state == "3D000" and _TRANSIENT_IN_ANY_CLASS.search(message)):
        return PERMANENT
    if _TRANSIENT_IN_ANY_CLASS.search(message):
        return TRANSIENT
    known = next((name for name in class_names if name in _PERMANENT_CLASSES | _TRANSIENT_CLASSES), None)
    # Snowflake tells a wrong password as a lost connection (08001).
    if (known in _PERMANENT_CLASSES and not state) or _PERMANENT_WORDS.search(message):
        return PERMANENT
    if state[:2] in _TRANSIENT_STATE_CLASSES or known in _TRANSIENT_CLASSES or _TRANSIENT_WORDS.search(message):
        return TRANSIENT
    return None


def sqlstate_of(error: BaseException) -> str | None:
    """The state that a driver's exception has; Redshift's has the server's fields as its argument."""
    fields = error.args[0] if error.args and isinstance(error.args[0], Mapping) else {}
    states = (getattr(error, "pgcode", None), getattr(error, "sqlstate", None), fields.get("C"))
    return next((state for state in states if isinstance(state, str) and _STATE.fullmatch(state)), None)
