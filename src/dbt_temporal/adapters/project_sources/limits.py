"""How much of a remote source is fetched, and how long it may take."""

from __future__ import annotations

from dbt_temporal.adapters.environment import EnvironmentModel, variable

BYTES_PER_MB = 1024 * 1024


class TooLargeError(Exception):
    """A source holds more than it may."""


class SourceLimits(EnvironmentModel):
    """Limits of one remote source; a source beyond them stops the worker's start."""

    timeout_secs: float = variable(
        "DBT_TEMPORAL_SOURCE_TIMEOUT_SECS", 300.0, allowed="a number of seconds above 0", gt=0, allow_inf_nan=False
    )
    max_mb: int = variable("DBT_TEMPORAL_SOURCE_MAX_MB", 1024, allowed="a number of megabytes, at least 1", ge=1)

    @property
    def max_bytes(self) -> int:
        return self.max_mb * BYTES_PER_MB
