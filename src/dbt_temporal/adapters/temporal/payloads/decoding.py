"""Values that cannot be decoded: whoever sent them is told. By default the SDK fails the workflow task instead, which
Temporal repeats for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError

from dbt_temporal.domain.errors import ErrorType

UNREADABLE = "(cannot be decoded)"


def undecodable(error: Exception) -> ApplicationError:
    """The failure that ends what was sent a value that cannot be decoded. It shows no part of the value."""
    return ApplicationError(
        f"a value cannot be decoded: {_reason(error)}; send one JSON object (encoding json/plain)",
        type=str(ErrorType.CONFIGURATION),
        non_retryable=True,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return str(first["msg"])
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # in quotes else
    return str(error.__cause__ or error)


class _Readable(PayloadConverter):
    """Reads what others attach to failures: what cannot be decoded leaves the failure itself readable."""

    def __init__(self, converter: PayloadConverter) -> None:
        self._converter = converter

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        return self._converter.to_payloads(values)

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        try:
            return self._converter.from_payloads(payloads, type_hints)
        except Exception:
            return [UNREADABLE for _ in payloads]


_TOLD = frozenset(map(str, ErrorType))


class StepFailureConverter(DefaultFailureConverter):
    """The SDK's own, for failures by anybody: of hooks in any language, and of activities that people end by hand.

    A failure of one of our types says by its message what is wrong: a model fails by its SQL, not by the code that ran
    it. It has no stack trace, in which people would look for the reason; what nobody foresaw has its cause, and keeps
    its own.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        trace = exception.__traceback__
        if isinstance(exception, ApplicationError) and exception.type in _TOLD and exception.__cause__ is None:
            exception.__traceback__ = None
        try:
            super().to_failure(exception, payload_converter, failure)
        finally:
            exception.__traceback__ = trace

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        return super().from_failure(failure, _Readable(payload_converter))


class EncryptedFailureConverter(StepFailureConverter):
    """The same, with messages and stack traces where the codec encrypts them."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)
