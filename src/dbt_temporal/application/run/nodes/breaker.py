"""A database that takes no connections: the run waits for it, instead of failing one node after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dbt_temporal.application.ports.runtime import RunRuntime, StepFailedError
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.domain.project_config import BreakerConfig
from dbt_temporal.domain.run.state import first_line


class Breaker:
    """Open while the database takes no connections. The attempts that learned it ask again, and nothing else starts.

    When the limit has passed it gives up: what fails by that then fails as anything else, until the database answers.

    Args:
        runtime: the clock.
        config: how long is waited.
        live: is told of it.
        turn: called when it opens (True) and when it closes (False).
    """

    def __init__(
        self, runtime: RunRuntime, config: BreakerConfig, live: LiveState, turn: Callable[[bool], None]
    ) -> None:
        self._runtime = runtime
        self._config = config
        self._live = live
        self._turn = turn
        self._since: datetime | None = None
        self._given_up = False

    def wait_out(self, failure: StepFailedError, began: datetime) -> float | None:
        """For how many seconds the attempt that failed so waits; None where it is to be treated as any other."""
        if not failure.unreachable:
            # Whatever else it was: this attempt asks no more, and perhaps no other one does.
            self.answered(began)
            return None
        if not failure.retryable or not self._config.limit_secs or self._given_up:
            return None
        now = self._runtime.now()
        if self._since is None:
            self._open(now, failure.message)
        assert self._since is not None
        left = self._config.limit_secs - (now - self._since).total_seconds()
        if left <= 0:
            self._give_up()
            return None
        return min(self._config.probe_secs, left)

    def answered(self, began: datetime) -> None:
        """An attempt came to another end: the database takes connections again, if that has begun meanwhile."""
        if self._since is None or began < self._since:
            return
        seconds = (self._runtime.now() - self._since).total_seconds()
        was_open, self._since, self._given_up = not self._given_up, None, False
        if was_open:
            self._tell(f"The database takes connections again after {seconds:.0f} s; the run goes on", None)
            self._turn(False)

    def let_go(self) -> bool:
        """Nobody asks any more, because an operator has taken the node that did: others may. Returns whether it was
        open."""
        if not self.is_open:
            return False
        self._since = None
        self._tell("Nobody waits for the database any more; the other nodes ask it", None)
        self._turn(False)
        return True

    @property
    def is_open(self) -> bool:
        """Whether nothing else starts."""
        return self._since is not None and not self._given_up

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues."""
        return {"since": self._since and self._since.isoformat(), "given_up": self._given_up}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continues where the snapshot was taken."""
        self._since = snapshot["since"] and datetime.fromisoformat(snapshot["since"])
        self._given_up = snapshot["given_up"]

    def _open(self, now: datetime, message: str) -> None:
        self._since = now
        # The first line is dbt's own, on the kind of the error; behind the second there may be the place of a log.
        lines = [line for line in message.splitlines() if line.strip()]
        reason = first_line("\n".join(lines[1:2] or lines))
        config = self._config
        self._tell(
            f"The database takes no connections ({reason}): nothing more starts until it does. The run asks every "
            f"{config.probe_secs:g} s, and gives up after {config.limit_secs:g} s (breaker)",
            f"Waits for the database since {now:%H:%M:%S} UTC: {reason}",
        )
        self._turn(True)

    def _give_up(self) -> None:
        self._given_up = True
        limit = f"{self._config.limit_secs:g} s (breaker.limit_secs)"
        self._tell(f"The database has taken no connection for {limit}: the run waits no longer", None)
        self._turn(False)

    def _tell(self, line: str, notice: str | None) -> None:
        self._live.log.add(line)
        self._live.state.notice = notice
        self._live.changed()
