"""Leases: what a run has for itself alone, among all runs that meet there."""

from __future__ import annotations

from typing import Protocol

from dbt_temporal.domain.leases.messages import Lease, LeaseAnswer


class Leases(Protocol):
    """Gives leases in the order in which they are asked for, and looks after runs that end without a word."""

    async def take(self, owner: str, lease: Lease, *, waits: bool) -> LeaseAnswer:
        """Asks for a lease, or how the request for it stands. Returns at once, whether it is granted or not.

        Args:
            owner: the invocation id of the run. It has one lease in a scope.
            lease: all of it is granted, or nothing. Once it is, asking again for it or for less changes nothing.
            waits: whether the run gets a place in the queue where it cannot have it now.

        Raises:
            DbtTemporalError: of type Adapter, where nobody answers.
        """

    async def give_back(self, scope: str, owner: str) -> None:
        """Ends the lease of a run in a scope, or its place in the queue. Safe to call where it has neither.

        Raises:
            DbtTemporalError: of type Adapter, where nobody answers.
        """
