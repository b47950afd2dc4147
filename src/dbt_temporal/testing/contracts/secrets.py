"""What every resolver of secrets promises, as tests that each of them passes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from dbt_temporal.application.ports.secrets import SecretResolver
from dbt_temporal.domain.secrets.references import SecretReference

VALUE = "hunter2 =ü'\"\\$HOME"


class SecretPlace(Protocol):
    """Where secrets are kept, as the test of an adapter makes it: empty at first."""

    @property
    def resolver(self) -> SecretResolver:
        """What reads them."""

    def keep(self, name: str, value: str) -> SecretReference:
        """Keeps a value, in place of one of that name, and returns what names it."""

    def forget(self, name: str) -> None:
        """Takes it away."""


class SecretResolverContract:
    """Tests of a `SecretResolver`, for a subclass called `Test...` and a fixture `secrets` that gives a `SecretPlace`.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_a_reference_has_its_value(self, secrets: SecretPlace) -> None:
        """`resolve`, character by character, of several lines too, as keys and certificates are."""
        for name, value in {"PLAIN": VALUE, "LINES": "-----BEGIN\nabc\n-----END", "EMPTY": ""}.items():
            assert await secrets.resolver.resolve(secrets.keep(name, value)) == value

    async def test_it_is_read_anew_each_time(self, secrets: SecretPlace) -> None:
        """`resolve`, after it was rotated."""
        for value in ("first", "second"):
            assert await secrets.resolver.resolve(secrets.keep("ROTATED", value)) == value

    async def test_one_that_is_not_there_is_told_in_words_that_hold_no_value(self, secrets: SecretPlace) -> None:
        """`resolve`, of what there is not any more, beside one that there is: a LookupError."""
        secrets.keep("KEPT", "hunter3")
        gone = secrets.keep("GONE", VALUE)
        secrets.forget("GONE")
        (told,) = await asyncio.gather(secrets.resolver.resolve(gone), return_exceptions=True)
        assert isinstance(told, LookupError), f"it is {type(told).__name__}"
        said = told.args[0]
        assert isinstance(said, str)
        assert said
        assert "hunter" not in f"{said} {told.__cause__!r}"

    async def test_many_are_read_at_once(self, secrets: SecretPlace) -> None:
        """`resolve`, for several runs."""
        kept = {f"SECRET_{number}": f"value {number}" for number in range(20)}
        references = [secrets.keep(name, value) for name, value in kept.items()]
        assert await asyncio.gather(*map(secrets.resolver.resolve, references)) == list(kept.values())
