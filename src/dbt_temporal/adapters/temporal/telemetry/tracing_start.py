"""Starts tracing, where its packages are there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings
from dbt_temporal.domain.errors import configuration_error

if TYPE_CHECKING:
    from dbt_temporal.adapters.temporal.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

INSTALL = 'pip install "dbt-temporal[otel]"'


def start_tracing(settings: TracingSettings) -> Tracing | None:
    """Starts it, where it is on. Call it once in a process.

    Raises:
        DbtTemporalError: of type Configuration, where OTEL_TRACES_EXPORTER asks for it and its packages are missing.
    """
    if not settings.on:
        return None
    try:
        from dbt_temporal.adapters.temporal.telemetry.tracing import Tracing

        return Tracing(settings)
    except ImportError as error:
        if settings.exporter is not None:
            raise configuration_error(
                f"OTEL_TRACES_EXPORTER={settings.exporter!r} needs packages: {INSTALL} ({error})"
            ) from error
        # Platforms set the endpoint for every container, whoever uses it.
        logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but runs are not traced without packages: %s", INSTALL)
        return None
