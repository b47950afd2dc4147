"""Where metrics go: served for Prometheus, pushed by OTLP, or nowhere. The SDK's core does it, for its own and ours."""

from __future__ import annotations

import logging
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, SecretStr, field_validator, model_validator
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    OpenTelemetryConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from dbt_temporal.adapters.environment import EnvironmentModel, variable
from dbt_temporal.adapters.temporal.telemetry.metrics import BUCKETS
from dbt_temporal.domain.errors import configuration_error

_HTTP_PATH = "/v1/metrics"


class MetricsSettings(EnvironmentModel):
    """The TEMPORAL_METRICS_* variables."""

    exporter: Literal["none", "prometheus", "otlp"] = variable(
        "TEMPORAL_METRICS_EXPORTER", "none", allowed="none, prometheus or otlp"
    )
    prometheus_addr: str = variable("TEMPORAL_METRICS_PROMETHEUS_ADDR", "0.0.0.0:9464", allowed="an IP address:port")
    otlp_url: str | None = variable(
        AliasChoices("TEMPORAL_METRICS_OTLP_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        None,
        allowed="the URL of a collector, such as http://localhost:4317",
    )
    otlp_protocol: Literal["grpc", "http"] = variable("TEMPORAL_METRICS_OTLP_PROTOCOL", "grpc", allowed="grpc or http")
    otlp_interval_ms: int = variable(
        "OTEL_METRIC_EXPORT_INTERVAL", 10_000, allowed="a whole number of milliseconds, at least 1", ge=1
    )
    otlp_headers: SecretStr | None = variable(
        "TEMPORAL_METRICS_OTLP_HEADERS", None, allowed="name=value pairs, separated by commas"
    )

    @field_validator("exporter", mode="before")
    @classmethod
    def _by_its_other_name(cls, value: Any) -> Any:
        return "otlp" if value == "otel" else value

    @field_validator("prometheus_addr")
    @classmethod
    def _can_be_bound(cls, address: str) -> str:
        return checked_socket_address(address)

    @field_validator("otlp_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("otlp_headers")
    @classmethod
    def _are_pairs(cls, headers: SecretStr) -> SecretStr:
        parse_headers(headers.get_secret_value())
        return headers

    @model_validator(mode="after")
    def _has_a_collector(self) -> MetricsSettings:
        if self.exporter == "otlp" and self.otlp_url is None:
            raise ValueError(
                "TEMPORAL_METRICS_OTLP_URL: must be set (or OTEL_EXPORTER_OTLP_ENDPOINT), because "
                "TEMPORAL_METRICS_EXPORTER is otlp"
            )
        return self


def checked_socket_address(address: str) -> str:
    """An address that can be listened on: IPv4 or [IPv6], and a port. `localhost` and an empty host are understood.

    Raises:
        ValueError: saying what is wrong.
    """
    try:
        parts = urlsplit(f"//{address}")
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is no address ({error}): give host:port, such as 0.0.0.0:9464") from error
    if not port or parts.path or parts.username is not None:
        raise ValueError("give host:port with a port from 1 to 65535, such as 0.0.0.0:9464")
    host = {None: "0.0.0.0", "localhost": "127.0.0.1"}.get(parts.hostname, parts.hostname)
    try:
        ip = ip_address(str(host))
    except ValueError as error:
        raise ValueError(f"{host!r} is no IP address of this machine: give one, such as 0.0.0.0:9464") from error
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def checked_url(url: str) -> str:
    """An http or https URL with a host.

    Raises:
        ValueError: saying what is wrong.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give the URL of a collector, such as http://localhost:4317")
    return url


def parse_headers(text: str) -> dict[str, str]:
    """Reads `name=value,name=value`.

    Raises:
        ValueError: a pair has no name or no `=`.
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and separator for name, separator, _ in pairs):
        raise ValueError("give name=value pairs, separated by commas")
    return {name.strip(): value.strip() for name, _, value in pairs}


def build_runtime(settings: MetricsSettings) -> Runtime:
    """The SDK's runtime: it exports the metrics, and its core's warnings go to our log.

    Raises:
        DbtTemporalError: of type Configuration, where the exporter cannot be started.
    """
    core_logs = LoggingConfig(
        # Each poll that is tried again in an outage would be a line; `Readiness` tells the outage once.
        filter=f"{TelemetryFilter(core_level='WARN', other_level='ERROR').formatted()},temporalio_client::retry=ERROR",
        forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio.core"), append_target_to_name=False),
    )
    telemetry = TelemetryConfig(logging=core_logs, metrics=_exporter(settings))
    try:
        return Runtime(telemetry=telemetry)
    except (RuntimeError, ValueError) as error:
        name, value = "TEMPORAL_METRICS_PROMETHEUS_ADDR", settings.prometheus_addr
        if settings.exporter == "otlp":
            name, value = "TEMPORAL_METRICS_OTLP_URL", str(settings.otlp_url)
        raise configuration_error(f"metrics cannot be exported ({name}={value!r}): {error}") from error


def _exporter(settings: MetricsSettings) -> PrometheusConfig | OpenTelemetryConfig | None:
    # With these options the SDK's metrics have the names that Prometheus and Temporal's other SDKs use.
    if settings.exporter == "prometheus":
        return PrometheusConfig(
            bind_address=settings.prometheus_addr,
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
            histogram_bucket_overrides=BUCKETS,
        )
    if settings.exporter == "otlp":
        assert settings.otlp_url is not None
        headers = settings.otlp_headers.get_secret_value() if settings.otlp_headers else ""
        return OpenTelemetryConfig(
            url=_http_url(settings.otlp_url) if settings.otlp_protocol == "http" else settings.otlp_url,
            headers=parse_headers(headers),
            metric_periodicity=timedelta(milliseconds=settings.otlp_interval_ms),
            http=settings.otlp_protocol == "http",
            durations_as_seconds=True,
            histogram_bucket_overrides=BUCKETS,
        )
    return None


def _http_url(url: str) -> str:
    """The collector's path for metrics, where the URL names none (OpenTelemetry's rule for its endpoint variable)."""
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + _HTTP_PATH
