"""Whether runs are traced, by OpenTelemetry's own variables."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, field_validator

from dbt_temporal.adapters.environment import EnvironmentModel, variable
from dbt_temporal.adapters.temporal.telemetry.metrics_export import checked_url


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
    def _is_url(cls, url: str) -> str:
        return checked_url(url)

    @property
    def on(self) -> bool:
        """Whether spans are exported: an exporter is named, or a collector is and no exporter."""
        if self.disabled or self.exporter == "none":
            return False
        return self.exporter is not None or bool(self.endpoint or self.traces_endpoint)
