"""Further attempts at a step that failed, in the run itself: so each attempt and its reason is in history and log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from dbt_temporal.application.ports.runtime import RunRuntime, StepFailedError

Output = TypeVar("Output")


@dataclass(frozen=True)
class RetryRule:
    """How often something is tried, in Temporal's terms; seconds."""

    max_attempts: int = 3
    initial_interval_secs: float = 1.0
    backoff_coefficient: float = 2.0
    max_interval_secs: float = 60.0


@dataclass(frozen=True)
class Lost:
    """The attempts before, by number, of which nobody has heard how they ended."""

    attempts: tuple[int, ...] = ()

    def and_by(self, failure: StepFailedError, attempt: int) -> Lost:
        """With another attempt, as far as it is one of them."""
        return Lost((*self.attempts, attempt)) if failure.unheard else self


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
    first: int = 1,
    wait: Callable[[float], Awaitable[bool]] | None = None,
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
        first: the first attempt's number.
        wait: waits for so many seconds before a further attempt; false where there is to be none. By default, sleeps.

    Raises:
        StepFailedError: the failure of the last attempt.
    """

    async def sleep(seconds: float) -> bool:
        await runtime.sleep(seconds)
        return True

    wait = wait or sleep
    pause = rule.initial_interval_secs
    number, left = first, rule.max_attempts
    lost = Lost()
    while True:
        last, failed = left <= 1, None
        try:
            output = await attempt(number, lost)
            reason = why_again(output)
            if last or reason is None:
                return output
        except StepFailedError as failure:
            failed = failure
            waits = wait_out(failure)
            if waits is not None:
                if waits and not await wait(waits):
                    raise
                number += 1
                continue
            if last or not may_retry(failure):
                known = None
                if look is not None and failure.unheard and failure.retryable:
                    known = await look(number, lost.and_by(failure, number))
                if known is None:
                    raise
                return known
            reason = f"{failure.error_type}: {failure.message}"
            lost = lost.and_by(failure, number)
        if on_retry is not None:
            on_retry(rule.max_attempts - left + 1, reason)
        if not await wait(pause) and failed is not None:
            raise failed
        pause = min(pause * rule.backoff_coefficient, rule.max_interval_secs)
        number, left = number + 1, left - 1


def attempt_summary(what: str, number: int) -> str:
    """The summary of an attempt's step: the first is called by its plain name."""
    return what if number == 1 else f"{what} (attempt {number})"
