"""What steps leave out of a run's input, because each of them would hold it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.invocation import LeftOut


class LeftOutInputs(Protocol):
    """Finds it again, for the step that is being done."""

    async def find(self, left_out: LeftOut) -> Mapping[str, Any]:
        """The values of the fields.

        Raises:
            DbtTemporalError: they are not to be found.
        """


class NothingLeftOut:
    """Where steps are not sent anywhere."""

    async def find(self, left_out: LeftOut) -> Mapping[str, Any]:
        """Raises DbtTemporalError: nobody knows it here."""
        raise configuration_error(f"nobody here knows the run's {', '.join(left_out.fields)}")
