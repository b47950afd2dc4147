"""Whether runs are traced, by OpenTelemetry's own variables."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from pydantic import AliasChoices, field_validator

from dbt_temporal.adapters.environment import EnvironmentModel, variable
from dbt_temporal.adapters.temporal.telemetry.metrics_export import checked_url
from dbt_temporal.domain.errors import configuration_error

if TYPE_CHECKING:
    from dbt_temporal.adapters.temporal.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

INSTALL = 'pip install "dbt-temporal[otel]"'


class TracingSettings(EnvironmentModel):
    """The OTEL_* variables that we read ourselves; exporters and samplers read the others."""

    exporter: Literal["otlp", "console", "none"] | None = variable(
        "OTEL_TRACES_EXPORTER", None, allowed="otlp, console or none"
    )
    endpoint: str | None = variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT", None, allowed="the URL of a collector, such as http://localhost:4317"
    )
    traces_endpoint: str | None = variable(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None, allowed="the URL of a collector, such as http://localhost:4317"
    )
    protocol: Literal["grpc", "http/protobuf"] = variable(
        AliasChoices("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        "grpc",
        allowed="grpc or http/protobuf",
    )
    disabled: bool = variable("OTEL_SDK_DISABLED", False, allowed="true or false")

    @field_validator("endpoint", "traces_endpoint")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        return None if url is None else checked_url(url)

    @property
    def on(self) -> bool:
        """Whether spans are exported: an exporter is named, or a collector is and no exporter."""
        if self.disabled or self.exporter == "none":
            return False
        return self.exporter is not None or bool(self.endpoint or self.traces_endpoint)


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
