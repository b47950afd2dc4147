"""The step that takes the lease of a run."""

from __future__ import annotations

import pytest

from dbt_temporal.application.steps.messages import TakeLeaseInput
from dbt_temporal.application.steps.take_lease import TakeLease
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.leases.messages import Lease, pack_keys
from dbt_temporal.testing import FakeLeases

ORDERS = Lease(scope="relations/shop", keys=pack_keys(["orders"]), what="one relation")


def request(run: str, **fields: str) -> TakeLeaseInput:
    return TakeLeaseInput.model_validate({"invocation_id": run, "lease": ORDERS, "waits": True} | fields)


async def test_it_says_whether_the_run_has_its_lease() -> None:
    leases = FakeLeases()
    take = TakeLease(leases)
    answers = [await take(request(run)) for run in ("first", "second")]
    assert [answer.granted for answer in answers] == [True, False]
    assert [each.owner for each in answers[1].behind] == ["first"]
    assert (leases.asked, leases.given_back) == ([("first", ORDERS), ("second", ORDERS)], [])


async def test_a_run_gives_back_what_it_has_elsewhere_before_it_asks() -> None:
    leases = FakeLeases()
    take = TakeLease(leases)
    elsewhere = ORDERS.model_copy(update={"scope": "relations/farm"})
    await leases.take("first", elsewhere, waits=True)
    await take(request("first", instead_of="relations/farm"))
    assert leases.given_back == [("relations/farm", "first")]
    assert (await leases.take("second", elsewhere, waits=True)).granted


async def test_where_nobody_answers_another_attempt_may_help() -> None:
    leases = FakeLeases()
    leases.away = True
    with pytest.raises(DbtTemporalError) as caught:
        await TakeLease(leases)(request("first"))
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ADAPTER, True)
