"""The connection to a Temporal server."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from dbt_temporal.adapters.environment import EnvironmentModel, variable
from dbt_temporal.adapters.temporal.codec_keys import KEYS_VARIABLE, parse_keys
from dbt_temporal.adapters.temporal.missing_keys import unencrypted_data_converter
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

DEFAULT_PORT = 7233
RETRY_PAUSE_SECS = 1.0


class ConnectionSettings(EnvironmentModel):
    """Where Temporal is, and who we are there."""

    address: str = variable(
        "TEMPORAL_ADDRESS",
        "http://localhost:7233",
        allowed="a URL (http://host:port, https://host:port) or host:port",
    )
    namespace: str = variable("TEMPORAL_NAMESPACE", "default", allowed="the name of a namespace")
    task_queue: str = variable("TEMPORAL_TASK_QUEUE", "dbt-tasks", allowed="the name of a task queue")
    api_key: SecretStr | None = variable("TEMPORAL_API_KEY", None, allowed="an API key")
    tls_cert: Path | None = variable("TEMPORAL_TLS_CERT", None, allowed="the path of a PEM file")
    tls_key: Path | None = variable("TEMPORAL_TLS_KEY", None, allowed="the path of a PEM file")
    codec_keys: SecretStr | None = variable(KEYS_VARIABLE, None, allowed="id:key,id:key, keys in base64")

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        parse_address(address)
        return address

    @field_validator("tls_cert", "tls_key")
    @classmethod
    def _is_readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            _read_pem(path)
        return path

    @field_validator("codec_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            parse_keys(keys.get_secret_value())
        return keys

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> ConnectionSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("TEMPORAL_TLS_CERT", "TEMPORAL_TLS_KEY")
            if self.tls_cert is None:
                given, missing = missing, given
            raise ValueError(f"{missing}: must be set as well, because {given} is set")
        return self

    @property
    def keys(self) -> dict[str, bytes]:
        """The keys that encrypt payloads, by id, the one for new payloads first; empty where nothing is encrypted."""
        return parse_keys(self.codec_keys.get_secret_value()) if self.codec_keys else {}

    @property
    def data_converter(self) -> DataConverter:
        """How inputs and results become payloads: the SDK's pydantic converter, with encryption where keys are set."""
        keys = self.keys
        if not keys:
            return unencrypted_data_converter()
        # Loads the cryptographic library, which a process without keys can do without.
        from dbt_temporal.adapters.temporal.encryption import encrypting

        return encrypting(pydantic_data_converter, keys)

    @property
    def target(self) -> str:
        """`host:port`."""
        return parse_address(self.address)[0]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted: by the URL, or because an API key or a certificate is set."""
        return parse_address(self.address)[1] or self.api_key is not None or self.tls_cert is not None


def parse_address(address: str) -> tuple[str, bool]:
    """Reads a URL or `host:port` as (`host:port`, whether the URL asks for TLS).

    Raises:
        ValueError: saying what is wrong.
    """
    scheme, separator, _ = address.partition("://")
    if separator and scheme not in ("http", "https"):
        raise ValueError(f"unknown scheme {scheme!r}: give http://host:port, https://host:port or host:port")
    parts = urlsplit(address if separator else f"//{address}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise ValueError("the port must be a number from 1 to 65535") from error
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError("give http://host:port, https://host:port or host:port, and nothing else")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}", parts.scheme == "https"


async def connect(settings: ConnectionSettings, *, patience_secs: float = 0.0) -> Client:
    """Connects and checks that the namespace is there.

    Args:
        settings: where to.
        patience_secs: how long to try again while the server cannot be reached.

    Raises:
        DbtTemporalError: of type Configuration, with the cause and a remedy.
    """
    give_up_at = time.monotonic() + patience_secs
    while True:
        try:
            client = await Client.connect(
                settings.target,
                namespace=settings.namespace,
                api_key=settings.api_key.get_secret_value() if settings.api_key else None,
                tls=_tls(settings),
                data_converter=settings.data_converter,
            )
            break
        except (RuntimeError, RPCError) as error:
            if _is_refusal(error) or time.monotonic() >= give_up_at:
                raise _connection_error(settings, error) from error
            await asyncio.sleep(RETRY_PAUSE_SECS)
    await _check_namespace(client, settings)
    return client


def _tls(settings: ConnectionSettings) -> TLSConfig | bool:
    if settings.tls_cert is None or settings.tls_key is None:
        return settings.tls
    return TLSConfig(client_cert=_read_pem(settings.tls_cert), client_private_key=_read_pem(settings.tls_key))


def _read_pem(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): give the path of a PEM file") from error
    if b"-----BEGIN" not in content:
        raise ValueError("is not a PEM file (no -----BEGIN line)")
    return content


async def _check_namespace(client: Client, settings: ConnectionSettings) -> None:
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=settings.namespace))
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise configuration_error(
                f"the Temporal server at {settings.target} has no namespace {settings.namespace!r}: correct "
                "TEMPORAL_NAMESPACE, or create it with `temporal operator namespace create`"
            ) from error
        if _is_refusal(error):
            raise _connection_error(settings, error) from error
        # Anything else says nothing about the namespace (some servers do not let clients describe it).


def _is_refusal(error: Exception) -> bool:
    """Whether the server answered, and said no: waiting does not help."""
    refusals = (RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED)
    if isinstance(error, RPCError):
        return error.status in refusals
    text = str(error).lower()
    return any(word in text for word in ("unauthenticated", "permission denied", "certificate", "invalid pem"))


def _reason(error: Exception) -> str:
    """The cause alone, where the SDK gives it within nested errors in Rust's debug form."""
    causes = re.findall(r'message: "([^"]+)"', str(error))
    return causes[-1] if causes else str(error)


def _connection_error(settings: ConnectionSettings, error: Exception) -> DbtTemporalError:
    facts: list[Any] = [f"cannot connect to Temporal at {settings.target}"]
    facts.append(f" ({'TLS' if settings.tls else 'no TLS'}, namespace {settings.namespace!r}): {_reason(error)}. ")
    text = str(error).lower()
    if _is_refusal(error) and "certificate" not in text:
        facts.append("Check TEMPORAL_API_KEY (or the client certificate) and that it may use this namespace.")
    elif "certificate" in text or "tls" in text or "handshake" in text:
        facts.append("Check TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY, and that the server speaks TLS.")
    else:
        facts.append("Check TEMPORAL_ADDRESS, and that a server runs there (`dbt-temporal dev` starts one).")
    return configuration_error("".join(facts))
