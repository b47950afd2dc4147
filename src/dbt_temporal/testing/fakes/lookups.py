"""Where steps look up what a run only names: secrets, and what was left out of its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.invocation import LeftOut
from dbt_temporal.domain.secrets.references import SecretReference


class FakeSecretResolver:
    """Implements `SecretResolver`.

    Attributes:
        values: by reference: `{EnvReference(from_env="DB_PASSWORD"): "hunter2"}`.
        asked: the references that were asked for, in order.
    """

    def __init__(self, values: Mapping[SecretReference, str] | None = None) -> None:
        self.values = dict(values or {})
        self.asked: list[SecretReference] = []

    async def resolve(self, reference: SecretReference) -> str:
        """The value that there is now."""
        self.asked.append(reference)
        if reference not in self.values:
            raise LookupError("the fake has no such secret")
        return self.values[reference]


class FakeLeftOutInputs:
    """Implements `LeftOutInputs`.

    Attributes:
        known: whole inputs of runs, as JSON has them.
        asked: what was asked for, in order.
    """

    def __init__(self, *known: Mapping[str, Any]) -> None:
        self.known = list(known)
        self.asked: list[LeftOut] = []

    async def find(self, left_out: LeftOut) -> Mapping[str, Any]:
        """The fields of the input that they were left out of."""
        self.asked.append(left_out)
        for values in self.known:
            found = left_out.of(values)
            if found is not None:
                return found
        raise configuration_error(f"the fake does not know the run's {', '.join(left_out.fields)}")
