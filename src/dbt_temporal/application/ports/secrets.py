"""Where a worker finds the secrets that a run only names."""

from __future__ import annotations

from typing import Protocol

from dbt_temporal.domain.secrets.references import SecretReference


class SecretResolver(Protocol):
    """Reads secrets where the worker is."""

    async def resolve(self, reference: SecretReference) -> str:
        """The value that a reference names, read anew each time.

        Raises:
            LookupError: saying in words why there is none; it never holds a value.
        """
