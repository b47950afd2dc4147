import asyncio

from dbt_temporal.adapters.dbt_core.keyed_locks import KeyedLocks
from dbt_temporal.testing.waiting import until


async def test_callers_of_one_key_take_turns_and_others_do_not_wait() -> None:
    locks = KeyedLocks()
    order: list[str] = []
    gate = asyncio.Event()

    async def work(key: str, name: str) -> None:
        async with locks.holding(key):
            order.append(name)
            await gate.wait()

    tasks = [asyncio.create_task(work(key, name)) for key, name in (("a", "first"), ("a", "second"), ("b", "other"))]
    await until(lambda: len(order) == 2)
    assert order == ["first", "other"]
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "other", "second"]


async def test_nothing_is_kept_of_a_key_that_nobody_uses_any_more() -> None:
    locks = KeyedLocks()
    async with locks.holding("a"):
        waiting = asyncio.create_task(locks.holding("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert len(locks) == 1
    assert len(locks) == 0
