"""Further attempts at a step that failed, in the run itself: so each attempt and its reason is in history and log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel, Field

from dbt_temporal.application.ports.runtime import RunRuntime, StepFailedError
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.results import NodeExecutionResult

Output = TypeVar("Output")


@dataclass(frozen=True)
class RetryRule:
    """How often something is tried, in Temporal's terms; seconds."""

    max_attempts: int = 3
    initial_interval_secs: float = 1.0
    backoff_coefficient: float = 2.0
    max_interval_secs: float = 60.0

    def pause_after(self, failed: int) -> float:
        """How long is waited after so many attempts that have failed."""
        pause = self.initial_interval_secs
        for _ in range(failed - 1):
            pause = min(pause * self.backoff_coefficient, self.max_interval_secs)
        return pause


class FailedTry(BaseModel):
    """How an attempt failed, as far as it matters where there is no further one."""

    error_type: ErrorType
    message: str
    result: NodeExecutionResult | None = None

    @classmethod
    def of(cls, failure: StepFailedError) -> FailedTry:
        return cls(error_type=failure.error_type, message=failure.message, result=failure.result)

    def again(self) -> StepFailedError:
        return StepFailedError(self.error_type, self.message, result=self.result)


class Tries(BaseModel):
    """Where the attempts at one step stand.

    Attributes:
        number: of the attempt that is made, or comes next.
        failed: how many have failed, of those that count.
        lost: numbers of attempts of which nobody has heard how they ended.
        told: those of them whose worker has said so.
        next_at: when the next one comes; None where one is made now.
        last: how the one before that failed; None where it did not, but another one is to do better.
    """

    number: int = 1
    failed: int = 0
    lost: list[int] = Field(default_factory=list)
    told: list[int] = Field(default_factory=list)
    next_at: datetime | None = None
    last: FailedTry | None = None


@dataclass(frozen=True)
class Lost:
    """The attempts before, by number, of which nobody has heard how they ended; and those whose worker has said so."""

    attempts: tuple[int, ...] = ()
    told: tuple[int, ...] = ()

    def and_by(self, failure: StepFailedError, attempt: int) -> Lost:
        """With another attempt, as far as it is one of them."""
        if not failure.unheard:
            return self
        return Lost((*self.attempts, attempt), self.told if failure.timed_out else (*self.told, attempt))


def _retryable(failure: StepFailedError) -> bool:
    return failure.retryable


def _not_waited_out(_failure: StepFailedError) -> float | None:
    return None


def _accepted(_output: object) -> str | None:
    return None


async def with_retries(
    runtime: RunRuntime,
    rule: RetryRule,
    attempt: Callable[[int, Lost], Awaitable[Output]],
    *,
    on_retry: Callable[[int, str], None] | None = None,
    may_retry: Callable[[StepFailedError], bool] = _retryable,
    wait_out: Callable[[StepFailedError], float | None] = _not_waited_out,
    why_again: Callable[[Output], str | None] = _accepted,
    look: Callable[[int, Lost], Awaitable[Output | None]] | None = None,
    tries: Tries | None = None,
    wait: Callable[[float, str], Awaitable[bool]] | None = None,
    what: str = "the step",
) -> Output:
    """Makes attempts until one ends well, may not be repeated, or was the last.

    Args:
        attempt: makes one attempt; takes its number, and what is known of those that were lost before it.
        on_retry: told before each further attempt which one failed, of those that count, and why.
        look: finds out how the last attempt ended, where nobody has heard of that and there is no further one that
            would; takes its number and what is known of it and of those before. None where nothing is to be found.
        may_retry: whether a failure is worth a further attempt.
        wait_out: for how many seconds a failure is waited out, so that its attempt does not count; None where it does.
        why_again: why an output is not good enough, or None where it is; the last one is returned as it is.
        tries: where they stand, which is kept up to date: after an interruption of a wait they go on from there.
        wait: waits for so many seconds before a further attempt, and is told for which one; false where there is to be
            none. By default, sleeps.
        what: is attempted, for whoever sees the waits.

    Raises:
        StepFailedError: the failure of the last attempt.
    """

    tries = tries or Tries()

    async def pause(seconds: float) -> bool:
        why = f"pause before {_attempt(tries.number, rule.max_attempts)} of {what}"
        if wait is not None:
            return await wait(seconds, why)
        await runtime.sleep(seconds, why)
        return True

    async def wait_for_next(seconds: float, failure: StepFailedError | None) -> bool:
        tries.number += 1
        tries.next_at = runtime.now() + timedelta(seconds=seconds)
        tries.last = None if failure is None else FailedTry.of(failure)
        return await pause(seconds)

    if tries.next_at is not None and not await pause(max((tries.next_at - runtime.now()).total_seconds(), 0.0)):
        assert tries.last is not None
        raise tries.last.again()
    while True:
        tries.next_at, failed = None, None
        last, lost = tries.failed + 1 >= rule.max_attempts, Lost(tuple(tries.lost), tuple(tries.told))
        try:
            output = await attempt(tries.number, lost)
            reason = why_again(output)
            if last or reason is None:
                return output
        except StepFailedError as failure:
            failed = failure
            waits = wait_out(failure)
            if waits is not None:
                if waits and not await wait_for_next(waits, failure):
                    raise
                tries.number += not waits
                continue
            lost = lost.and_by(failure, tries.number)
            if last or not may_retry(failure):
                known = None
                if look is not None and failure.unheard and failure.retryable:
                    known = await look(tries.number, lost)
                if known is None:
                    raise
                return known
            reason = f"{failure.error_type}: {failure.message}"
        tries.failed += 1
        tries.lost, tries.told = list(lost.attempts), list(lost.told)
        if on_retry is not None:
            on_retry(tries.failed, reason)
        if not await wait_for_next(rule.pause_after(tries.failed), failed) and failed is not None:
            raise failed


def attempt_summary(what: str, number: int, most: int, makes: str | None = None) -> str:
    """The summary of an attempt's step: the first is called by its plain name, further ones say what they make too.

    Attempts that do not count, as while a database is away, may be more than `most`.
    """
    if number == 1:
        return what
    attempt = _attempt(number, most)
    return f"{what} ({attempt}, {makes})" if makes else f"{what} ({attempt})"


def _attempt(number: int, most: int) -> str:
    return f"attempt {number} of {most}" if number <= most else f"attempt {number}"
