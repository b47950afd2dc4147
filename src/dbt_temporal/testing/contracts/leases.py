"""What everything that gives leases promises, as tests that each of it passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from dbt_temporal.application.ports.leases import Leases
from dbt_temporal.domain.leases.messages import Lease, LeaseAnswer, pack_keys

OwnerOf = Callable[[str], Awaitable[str]]
"""Begins a run, and returns its invocation id. It goes on until the test has ended."""


class LeasesContract:
    """Tests of `Leases`, for a subclass called `Test...` and fixtures `leases` and `begin`, which give the adapter and
    an `OwnerOf`: what begins runs that it knows.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_what_nobody_has_is_granted_and_asking_again_changes_nothing(
        self, leases: Leases, begin: OwnerOf
    ) -> None:
        """`take`, also of less than what was granted."""
        scope, run = a_scope(), await begin("first")
        for keys in ("a b", "a b", "b"):
            assert await leases.take(run, lease(scope, keys), waits=True) == LeaseAnswer(granted=True)
        assert not (await leases.take(await begin("second"), lease(scope, "a"), waits=True)).granted

    async def test_who_comes_later_waits_and_is_told_for_whom(self, leases: Leases, begin: OwnerOf) -> None:
        """`take`, of what another run has: an answer at once."""
        scope, first, second = a_scope(), await begin("first"), await begin("second")
        await leases.take(first, lease(scope, "a"), waits=True)
        answer = await leases.take(second, lease(scope, "a b"), waits=True)
        assert (answer.granted, answer.count) == (False, 1)
        assert [(each.owner, each.granted) for each in answer.behind] == [(first, True)]

    async def test_it_is_granted_in_the_order_in_which_it_was_asked_for(self, leases: Leases, begin: OwnerOf) -> None:
        """`take` and `give_back`, by three runs in turn."""
        scope, order = a_scope(), [await begin(name) for name in ("first", "second", "third")]
        for run in order:
            await leases.take(run, lease(scope, "a"), waits=True)
        while order:
            answers = [await leases.take(run, lease(scope, "a"), waits=True) for run in order]
            assert [answer.granted for answer in answers] == [True] + [False] * (len(order) - 1)
            await leases.give_back(scope, order.pop(0))

    async def test_runs_that_want_different_things_are_side_by_side(self, leases: Leases, begin: OwnerOf) -> None:
        """`take`, of other keys, and of the same keys in another scope."""
        scope = a_scope()
        for wanted in (lease(scope, "a"), lease(scope, "b"), lease(a_scope(), "a")):
            assert (await leases.take(await begin(wanted.what), wanted, waits=True)).granted

    async def test_nobody_is_overtaken_by_whom_he_waits_for(self, leases: Leases, begin: OwnerOf) -> None:
        """`take`, of what nobody has, but one wants who asked before."""
        scope = a_scope()
        first, second, third = [await begin(name) for name in ("first", "second", "third")]
        await leases.take(first, lease(scope, "a"), waits=True)
        await leases.take(second, lease(scope, "a b"), waits=True)
        answer = await leases.take(third, lease(scope, "b"), waits=True)
        assert [each.owner for each in answer.behind] == [second]
        await leases.give_back(scope, second)
        assert (await leases.take(third, lease(scope, "b"), waits=True)).granted

    async def test_who_does_not_wait_has_no_place(self, leases: Leases, begin: OwnerOf) -> None:
        """`take`, without waiting: nobody is behind it."""
        scope = a_scope()
        first, second, third = [await begin(name) for name in ("first", "second", "third")]
        await leases.take(first, lease(scope, "a"), waits=True)
        assert not (await leases.take(second, lease(scope, "a"), waits=False)).granted
        answer = await leases.take(third, lease(scope, "a"), waits=True)
        assert [each.owner for each in answer.behind] == [first]

    async def test_a_run_has_one_lease_in_a_scope(self, leases: Leases, begin: OwnerOf) -> None:
        """`take`, of something else: what it had before, others can have."""
        scope, first, second = a_scope(), await begin("first"), await begin("second")
        await leases.take(first, lease(scope, "a"), waits=True)
        assert (await leases.take(first, lease(scope, "b"), waits=True)).granted
        assert (await leases.take(second, lease(scope, "a"), waits=True)).granted

    async def test_giving_back_is_safe_for_whoever_has_nothing(self, leases: Leases, begin: OwnerOf) -> None:
        """`give_back`, of a scope that nobody knows, twice, and by a run without a lease: others keep theirs."""
        scope, first, second = a_scope(), await begin("first"), await begin("second")
        await leases.give_back(scope, second)
        await leases.take(first, lease(scope, "a"), waits=True)
        for _ in range(2):
            await leases.give_back(scope, second)
        assert not (await leases.take(second, lease(scope, "a"), waits=False)).granted

    async def test_of_runs_that_ask_at_once_one_has_it(self, leases: Leases, begin: OwnerOf) -> None:
        """`take`, by several at the same time."""
        scope, runs = a_scope(), [await begin(str(number)) for number in range(5)]
        answers = await asyncio.gather(*(leases.take(run, lease(scope, "a"), waits=True) for run in runs))
        assert sorted(answer.granted for answer in answers) == [False] * 4 + [True]
        assert sorted(answer.count for answer in answers) == [0, 1, 2, 3, 4]


def a_scope() -> str:
    """One of the test's own."""
    return f"relations/contract/{uuid4().hex[:8]}"


def lease(scope: str, names: str) -> Lease:
    """A lease for what these words name."""
    return Lease(scope=scope, keys=pack_keys(names.split()), what=names)
