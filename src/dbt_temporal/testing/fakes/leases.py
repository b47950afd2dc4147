"""Leases that remember who has asked."""

from __future__ import annotations

from dbt_temporal.application.steps.take_lease import LeasesOfThisProcess
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.leases.messages import Lease, LeaseAnswer


class FakeLeases(LeasesOfThisProcess):
    """Implements `Leases` by those of one process, so that runs wait for each other as they do anywhere.

    Attributes:
        asked: who has asked for what, in order.
        given_back: scopes and owners, in order.
        away: whether nobody answers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Lease]] = []
        self.given_back: list[tuple[str, str]] = []
        self.away = False

    async def take(self, owner: str, lease: Lease, *, waits: bool) -> LeaseAnswer:
        """Takes note, and answers."""
        self._check()
        self.asked.append((owner, lease))
        return await super().take(owner, lease, waits=waits)

    async def give_back(self, scope: str, owner: str) -> None:
        """Takes note."""
        self._check()
        self.given_back.append((scope, owner))
        await super().give_back(scope, owner)

    def _check(self) -> None:
        if self.away:
            raise DbtTemporalError(ErrorType.ADAPTER, "the leases do not answer: they are told to be away")
