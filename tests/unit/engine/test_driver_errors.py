"""The exceptions of each database's driver, as dbt raises an error of its own from them: which are tried again."""

from typing import Any

import duckdb
import psycopg2
import psycopg2.errors
import pytest
from dbt.adapters.exceptions import FailedToConnectError
from dbt_common.exceptions import DbtDatabaseError

from dbt_temporal.adapters.dbt_core.process.database.classification import as_temporal_error, classify_exception
from dbt_temporal.domain.errors import ErrorType
from tests.unit.engine.foreign_errors import driver_error


def node_error(error: Exception) -> tuple[ErrorType, bool]:
    """How a node's failure is classified: dbt raises an error of its own from the driver's."""
    raised = DbtDatabaseError(str(error))
    raised.__cause__ = error
    # Setting a run up says the same as a node.
    assert as_temporal_error(raised).retryable == classify_exception(raised)[1]
    return classify_exception(raised)


STARTING = 'connection to server at "db" (10.0.0.1), port 5432 failed: FATAL:  database "shop" does not exist'


@pytest.mark.parametrize(
    ("state", "message", "again"),
    [
        ("08006", "server closed the connection unexpectedly", True),
        ("08001", "connection refused", True),
        ("25P03", "terminating connection due to idle-in-transaction timeout", True),
        ("3D000", 'database "shop" does not exist', True),
        ("40001", "could not serialize access due to concurrent update", True),
        ("40P01", "deadlock detected", True),
        ("53200", "out of memory", True),
        ("55006", "object is in use", True),
        ("57014", "canceling statement due to statement timeout", True),
        ("57P03", "the database system is starting up", True),
        ("42P07", 'relation "orders" already exists', True),
        ("42601", 'syntax error at or near "selct"', False),
        ("42P01", 'relation "orders" does not exist', False),
        ("42501", "permission denied for schema shop", False),
        ("22012", "division by zero", False),
        ("23505", 'duplicate key value violates unique constraint "orders_pkey"', False),
        ("28P01", 'password authentication failed for user "shop"', False),
        ("3F000", 'schema "shop" does not exist', False),
        ("55000", 'materialized view "orders" has not been populated', False),
        ("P0001", "raised by a procedure", False),
        ("XX002", "index is corrupted", False),
    ],
)
def test_postgres_by_the_exceptions_of_its_driver(state: str, message: str, again: bool) -> None:
    error: Any = psycopg2.errors.lookup(state)(message)
    error.__setstate__({"pgcode": state})  # only its C code sets it, and unpickling
    assert error.pgcode == state
    assert node_error(error) == (ErrorType.ADAPTER, again)


@pytest.mark.parametrize(
    ("message", "again"),
    [
        (STARTING, True),
        ('connection to server at "db", port 5432 failed: Connection refused', True),
        ('could not translate host name "db" to address: Temporary failure in name resolution', True),
        ("SSL SYSCALL error: EOF detected", True),
        ("FATAL:  the database system is starting up", True),
        ("FATAL:  sorry, too many clients already", True),
        ('FATAL:  password authentication failed for user "shop"', False),
        ('FATAL:  role "shop" does not exist', False),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.2"', False),
    ],
)
def test_postgres_connecting_where_its_driver_gives_no_state(message: str, again: bool) -> None:
    assert node_error(psycopg2.OperationalError(message)) == (ErrorType.ADAPTER, again)
    # Without its cause, by dbt's class alone.
    assert classify_exception(FailedToConnectError(message)) == (ErrorType.ADAPTER, again)


@pytest.mark.parametrize(
    ("name", "message", "again"),
    [
        ("IOException", 'IO Error: Could not set lock on file "shop.duckdb": Conflicting lock is held', True),
        ("HTTPException", "HTTP Error: HTTP GET error on 'https://host/a.parquet' (HTTP 503)", True),
        ("ConnectionException", "Connection Error: Connection already closed!", True),
        ("InterruptException", "INTERRUPT Error: Interrupted!", True),
        ("OutOfMemoryException", "Out of Memory Error: failed to allocate data of size 1 GiB", True),
        ("ResourceInUseException", "the file is in use", True),
        ("TransactionException", "TransactionContext Error: Failed to commit", True),
        ("CatalogException", "Catalog write-write conflict on create with orders", True),
        ("IOException", 'IO Error: No files found that match the pattern "raw/*.csv"', False),
        ("IOException", 'IO Error: Cannot open file "a.csv": No such file or directory', False),
        ("HTTPException", "HTTP Error: HTTP GET error on 'https://host/a.parquet' (HTTP 404)", False),
        ("BinderException", 'Binder Error: Referenced column "a" not found in FROM clause!', False),
        ("CatalogException", "Catalog Error: Table with name a does not exist!", False),
        ("ConstraintException", "Constraint Error: Duplicate key violates primary key constraint", False),
        ("ConversionException", "Conversion Error: Could not convert string 'a' to INT32", False),
        ("FatalException", "FATAL Error: the database has been invalidated", False),
        ("InternalException", "INTERNAL Error: Attempted to access index 1 within vector of size 1", False),
        ("InvalidInputException", "Invalid Input Error: Malformed JSON", False),
        ("NotImplementedException", "Not implemented Error: a", False),
        ("OutOfRangeException", "Out of Range Error: a", False),
        ("ParserException", "Parser Error: syntax error at end of input", False),
        ("PermissionException", "Permission Error: file system operations are disabled", False),
        ("SerializationException", "Serialization Error: a", False),
    ],
)
def test_duckdb_by_the_exceptions_of_its_client(name: str, message: str, again: bool) -> None:
    assert node_error(getattr(duckdb, name)(message)) == (ErrorType.ADAPTER, again)


@pytest.mark.parametrize(
    ("classes", "state", "message", "again"),
    [
        ("DatabaseError OperationalError", "08001", "250001 (08001): Failed to connect to DB: host:443", True),
        ("DatabaseError", "08001", "250001 (08001): Incorrect username or password was specified.", False),
        ("DatabaseError", "08001", "390144 (08001): JWT token is invalid.", False),
        ("DatabaseError OperationalError", "n/a", "250003: Failed to execute request: Connection aborted.", True),
        ("DatabaseError ProgrammingError", "57014", "000625 (57014): Statement has locked table 'A' and aborted", True),
        ("DatabaseError ProgrammingError", "57014", "000630 (57014): Statement reached its timeout", True),
        ("DatabaseError ProgrammingError", "57P03", "000606 (57P03): No active warehouse selected", False),
        ("DatabaseError ProgrammingError", "42000", "001003 (42000): SQL compilation error: syntax error", False),
        ("DatabaseError ProgrammingError", "02000", "002043 (02000): Object does not exist, or ...", False),
        ("DatabaseError ProgrammingError", "22018", "100038 (22018): Numeric value 'a' is not recognized", False),
        ("ServiceUnavailableError", "n/a", "290503: HTTP 503: Service Unavailable", True),
        ("GatewayTimeoutError", "n/a", "290504: HTTP 504: Gateway Timeout", True),
        ("OtherHTTPRetryableError", "n/a", "290429: HTTP 429", True),
        ("DatabaseError ForbiddenError", "n/a", "290403: HTTP 403: Forbidden", False),
        ("MissingDependencyError", "n/a", "Missing optional dependency: pandas", False),
    ],
)
def test_snowflake_by_its_connectors_classes(classes: str, state: str, message: str, again: bool) -> None:
    """Classes, numbers and states: snowflake-connector-python, src/snowflake/connector/{errors,errorcode,sqlstate}.py.

    Numbers of the server: Snowflake's knowledge base, by their number.
    """
    error = driver_error(f"snowflake.connector.errors Error {classes}", message, sqlstate=state)
    assert node_error(error) == (ErrorType.ADAPTER, again)


@pytest.mark.parametrize(
    ("classes", "message", "again"),
    [
        ("ServerError InternalServerError", "500 An internal error occurred", True),
        ("ServerError BadGateway", "502 a", True),
        ("ServerError ServiceUnavailable", "503 a", True),
        ("ServerError GatewayTimeout DeadlineExceeded", "504 a", True),
        ("ClientError TooManyRequests ResourceExhausted", "429 a", True),
        ("ClientError Conflict Aborted", "409 a", True),
        ("ClientError Forbidden", "403 Exceeded rate limits: too many table update operations for this table", True),
        ("ClientError BadRequest", "400 Could not serialize access to table a due to concurrent update", True),
        ("ClientError BadRequest", "400 The job encountered an error. Retrying the job may solve the problem.", True),
        ("ClientError BadRequest", "400 Syntax error: Unexpected identifier", False),
        ("ClientError NotFound", "404 Not found: Table a was not found in location EU", False),
        ("ClientError Forbidden", "403 Access Denied: Dataset a", False),
        (
            "ClientError Forbidden",
            "403 Quota exceeded: the project exceeded its quota of query bytes",
            False,
        ),
        ("ClientError Unauthorized", "401 a", False),
        ("ServerError MethodNotImplemented", "501 a", False),
    ],
)
def test_bigquery_by_googles_classes(classes: str, message: str, again: bool) -> None:
    """Classes: google-api-core, google/api_core/exceptions.py. Reasons: BigQuery's page "Error messages"."""
    error = driver_error(f"google.api_core.exceptions GoogleAPIError GoogleAPICallError {classes}", message)
    assert node_error(error) == (ErrorType.ADAPTER, again)


@pytest.mark.parametrize(
    ("classes", "message", "again"),
    [
        ("OperationalError RequestError", "Error during request to server: Connection reset", True),
        ("OperationalError RequestError MaxRetryDurationError", "Retry duration exceeded", True),
        ("OperationalError RequestError", "Error during request to server: Invalid access token.", False),
        ("ServerOperationError", "[DELTA_CONCURRENT_APPEND] Files were added. SQLSTATE: 2D521", True),
        ("ServerOperationError", "Error: TEMPORARILY_UNAVAILABLE: the warehouse is at its limit", True),
        ("ServerOperationError", "[TABLE_OR_VIEW_NOT_FOUND] The table cannot be found. SQLSTATE: 42P01", False),
        ("ServerOperationError", "[PARSE_SYNTAX_ERROR] Syntax error at or near 'a'. SQLSTATE: 42601", False),
        ("ServerOperationError", "[DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012", False),
        ("ServerOperationError", "[INSUFFICIENT_PERMISSIONS] Insufficient privileges. SQLSTATE: 42501", False),
    ],
)
def test_databricks_by_its_connectors_classes(classes: str, message: str, again: bool) -> None:
    """Classes: databricks-sql-connector, src/databricks/sql/exc.py. Conditions: Databricks' page "Error conditions"."""
    error = driver_error(f"databricks.sql.exc Error DatabaseError {classes}", message)
    assert node_error(error) == (ErrorType.ADAPTER, again)


@pytest.mark.parametrize(
    ("classes", "message", "again"),
    [
        (
            "DatabaseError ProgrammingError",
            {"C": "XX000", "M": "1023", "D": "Serializable isolation violation on table - 100"},
            True,
        ),
        (
            "DatabaseError ProgrammingError",
            {"C": "XX000", "M": "could not complete because of conflict with concurrent transaction"},
            True,
        ),
        ("DatabaseError ProgrammingError", {"C": "XX000", "M": "could not open relation with OID 100"}, True),
        ("DatabaseError ProgrammingError", {"C": "57014", "M": "Query cancelled on user's request"}, True),
        ("InterfaceError", "BrokenPipe: server socket closed. Please check that client side networking works", True),
        ("InterfaceError", "communication error", True),
        ("DatabaseError ProgrammingError", {"C": "42601", "M": "syntax error at or near a"}, False),
        ("DatabaseError ProgrammingError", {"C": "42P01", "M": 'relation "a" does not exist'}, False),
        ("DatabaseError ProgrammingError", {"C": "XX000", "M": "Spectrum Scan Error"}, False),
        ("InterfaceError", {"C": "28000", "M": "password authentication failed"}, False),
    ],
)
def test_redshift_by_its_connectors_classes(classes: str, message: object, again: bool) -> None:
    """Classes: redshift_connector, redshift_connector/error.py; a server's error has its fields as the argument.

    Messages: Amazon's page on serializable isolation errors, and issues of its drivers (aws-sdk-pandas 665,
    amazon-redshift-jdbc-driver 147).
    """
    error = driver_error(f"redshift_connector.error Error {classes}", message)
    assert node_error(error) == (ErrorType.ADAPTER, again)
