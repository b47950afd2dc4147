"""The errors that a run can meet, and which of them are worth another attempt."""

from __future__ import annotations

import errno
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a worker's first steps need errors, and not what results are made of
    from dbt_temporal.domain.results import NodeExecutionResult


class ErrorType(StrEnum):
    """Application failure types of the run contract. Callers in other languages match on these words."""

    COMPILATION = "Compilation"
    CONFIGURATION = "Configuration"
    PROJECT_NOT_FOUND = "ProjectNotFound"
    TEST_FAILURE = "TestFailure"
    UNIT_TEST_FAILURE = "UnitTestFailure"
    STALE_SOURCE = "StaleSource"
    ADAPTER = "Adapter"
    ARTIFACT_STORE = "ArtifactStore"
    ENGINE_CRASHED = "EngineCrashed"
    DBT_RUN_FAILED = "DbtRunFailed"


RETRYABLE_TYPES = frozenset({ErrorType.ADAPTER, ErrorType.ARTIFACT_STORE, ErrorType.ENGINE_CRASHED})
"""The types that are retried unless the error at hand says otherwise."""


class DbtTemporalError(Exception):
    """The one error that crosses layers, with its facts as attributes.

    Attributes:
        error_type: what kind of error it is.
        message: what went wrong, for a person who can act on it.
        retryable: whether another attempt may help; by default what the type says.
        result: the node's result, where the error is the outcome of a node.
        manifest: where the engine has written the manifest, if a run failed between its parse and its plan.
        unreachable: whether the database took no connection, so that nothing was done there.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        retryable: bool | None = None,
        result: NodeExecutionResult | None = None,
        manifest: Path | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.retryable = error_type in RETRYABLE_TYPES if retryable is None else retryable
        self.result = result
        self.manifest = manifest
        self.unreachable = unreachable

    def saying(self, message: str, result: NodeExecutionResult | None = None) -> DbtTemporalError:
        """The same error with another message, and another result where it has one."""
        return DbtTemporalError(
            self.error_type,
            message,
            retryable=self.retryable,
            result=self.result if result is None else result,
            manifest=self.manifest,
            unreachable=self.unreachable,
        )


_SCARCE = frozenset(
    {
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ESTALE,
    }
)
"""What a machine, or the way to another one, lacks for a while."""


def is_transient(error: BaseException) -> bool:
    """Whether an exception of Python's own may be gone at another attempt. One that nobody knows is not retried."""
    if isinstance(error, (ConnectionError, TimeoutError, MemoryError)):
        return True
    return isinstance(error, OSError) and error.errno in _SCARCE


def configuration_error(message: str) -> DbtTemporalError:
    """An error in what the user gave us: input, files or environment."""
    return DbtTemporalError(ErrorType.CONFIGURATION, message)
