"""The connection to a Temporal server."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, Plugin
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from dbt_temporal.adapters.environment import EnvironmentModel, require_both, variable
from dbt_temporal.adapters.temporal.connection.errors import can_pass, cause_of, remedy_for
from dbt_temporal.adapters.temporal.connection.last_answers import awaited_at_exit
from dbt_temporal.adapters.temporal.connection.profile import TemporalProfile, read_pem
from dbt_temporal.adapters.temporal.payloads.codec_keys import IN_CLEAR, parse_keys
from dbt_temporal.adapters.temporal.payloads.compression import STEP_DATA_CONVERTER
from dbt_temporal.adapters.temporal.payloads.missing_keys import unencrypted_data_converter
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.secrets.own_variables import API_KEY_VARIABLE, CODEC_KEYS_VARIABLE

logger = logging.getLogger(__name__)

DEFAULT_PORT = 7233
RETRY_PAUSE_SECS = 1.0
NAMESPACE_PATIENCE_SECS = 5.0
"""A server that sets itself up answers a moment before its namespace is there."""


class ConnectionSettings(EnvironmentModel):
    """Where Temporal is, and who we are there."""

    address: str = variable(
        "TEMPORAL_ADDRESS",
        "http://localhost:7233",
        allowed="a URL (http://host:port, https://host:port) or host:port",
    )
    namespace: str = variable("TEMPORAL_NAMESPACE", "default", allowed="the name of a namespace")
    task_queue: str = variable("TEMPORAL_TASK_QUEUE", "dbt-tasks", allowed="the name of a task queue")
    api_key: SecretStr | None = variable(API_KEY_VARIABLE, None, allowed="an API key")
    tls_cert: Path | None = variable("TEMPORAL_TLS_CERT", None, allowed="the path of a PEM file")
    tls_key: Path | None = variable("TEMPORAL_TLS_KEY", None, allowed="the path of a PEM file")
    codec_keys: SecretStr | None = variable(CODEC_KEYS_VARIABLE, None, allowed="id:key,id:key, keys in base64, or none")
    profile: TemporalProfile = TemporalProfile()
    """What Temporal's own configuration adds; see `with_profile`."""

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        parse_address(address)
        return address

    @field_validator("tls_cert", "tls_key")
    @classmethod
    def _is_readable(cls, path: Path) -> Path:
        read_pem(path)
        return path

    @field_validator("codec_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr) -> SecretStr:
        if keys.get_secret_value() != IN_CLEAR:
            parse_keys(keys.get_secret_value())
        return keys

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> ConnectionSettings:
        require_both(TEMPORAL_TLS_CERT=self.tls_cert, TEMPORAL_TLS_KEY=self.tls_key)
        return self

    @property
    def keys(self) -> dict[str, bytes]:
        """The keys that encrypt payloads, by id, the one for new payloads first; empty where nothing is encrypted."""
        given = self.codec_keys.get_secret_value() if self.codec_keys else IN_CLEAR
        return {} if given == IN_CLEAR else parse_keys(given)

    @property
    def is_in_clear_on_purpose(self) -> bool:
        """Whether somebody has said that nothing is to be encrypted."""
        return self.codec_keys is not None and not self.keys

    @property
    def data_converter(self) -> DataConverter:
        """How inputs and results become payloads: as JSON, large messages of steps compressed, encrypted.

        Raises:
            DbtTemporalError: of type Configuration: there are keys, and the package that encrypts is missing.
        """
        keys = self.keys
        if not keys:
            return unencrypted_data_converter()
        # Loads the cryptographic library, which a process without keys can do without.
        try:
            from dbt_temporal.adapters.temporal.payloads.encryption import encrypting
        except ModuleNotFoundError as error:
            remedy = 'install "dbt-temporal-client[encryption]"'
            raise configuration_error(f"{CODEC_KEYS_VARIABLE} needs the package {error.name}: {remedy}") from error

        return encrypting(STEP_DATA_CONVERTER, keys)

    @property
    def target(self) -> str:
        """`host:port`."""
        return parse_address(self.address)[0]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted: by the URL, or because a key or certificate is set; or as is said."""
        profile = self.profile
        if parse_address(self.address)[1] or self.tls_cert is not None:
            return True
        if profile.tls_disabled is not None:
            return not profile.tls_disabled
        return any((self.api_key, profile.client_cert, profile.server_ca, profile.server_name))

    @property
    def has_client_cert(self) -> bool:
        return self.tls and (self.tls_cert is not None or self.profile.client_cert is not None)

    def tls_config(self) -> TLSConfig | bool:
        if not self.tls:
            return False
        client_cert, client_key = self.profile.client_cert, self.profile.client_key
        if self.tls_cert is not None and self.tls_key is not None:
            client_cert, client_key = read_pem(self.tls_cert), read_pem(self.tls_key)
        return TLSConfig(
            server_root_ca_cert=self.profile.server_ca,
            domain=self.profile.server_name,
            client_cert=client_cert,
            client_private_key=client_key,
        )

    def describe(self) -> str:
        """Where it leads and who we are there, in one line without secrets."""
        facts = [f"Temporal at {self.target}", f"namespace {self.namespace!r}", "TLS" if self.tls else "no TLS"]
        facts += ["client certificate"] if self.has_client_cert else []
        facts += ["API key"] if self.api_key else []
        facts += [f"profile {self.profile.name!r}"] if self.profile.name else []
        return ", ".join(facts)

    def with_profile(self, profile: TemporalProfile) -> ConnectionSettings:
        """These settings with Temporal's own configuration below them.

        Raises:
            ValueError: it has half of a client certificate.
        """
        if (profile.client_cert is None) != (profile.client_key is None):
            raise ValueError(
                "TEMPORAL_TLS_CLIENT_CERT_PATH, TEMPORAL_TLS_CLIENT_KEY_PATH (or tls in temporal.toml): "
                "a client certificate and its key must be set together"
            )
        return self.model_copy(update={"profile": profile})


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


async def connect(
    settings: ConnectionSettings,
    *,
    patience_secs: float = 0.0,
    runtime: Runtime | None = None,
    plugins: Sequence[Plugin] = (),
) -> Client:
    """Connects and checks that the namespace is there.

    Args:
        patience_secs: how long to try again where waiting can help.
        runtime: the SDK's runtime, which exports metrics; by default one that exports none.
        plugins: what the SDK adds to the client, and to the workers that are made with it.

    Raises:
        DbtTemporalError: of type Configuration, with the cause and a remedy.
    """
    awaited_at_exit()
    began = time.monotonic()
    warned = False
    while True:
        limit = patience_secs
        try:
            client = await _open(settings, runtime, plugins)
            if await _has_namespace(client, settings):
                return client
            problem = _no_namespace(settings)
            limit = min(patience_secs, NAMESPACE_PATIENCE_SECS)
        except (RuntimeError, RPCError, ValueError) as error:
            problem = _connection_error(settings, error)
            is_no_address = isinstance(error, ValueError)
            if is_no_address or not can_pass(error, tls=settings.tls, client_cert=settings.has_client_cert):
                raise problem from error
        if time.monotonic() - began >= limit:
            raise problem
        if not warned:
            logger.warning("%s Trying again for %g seconds.", problem.message, limit)
            warned = True
        await asyncio.sleep(RETRY_PAUSE_SECS)


async def _open(settings: ConnectionSettings, runtime: Runtime | None, plugins: Sequence[Plugin]) -> Client:
    return await Client.connect(
        settings.target,
        namespace=settings.namespace,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        tls=settings.tls_config(),
        rpc_metadata=settings.profile.metadata,
        data_converter=settings.data_converter,
        runtime=runtime,
        plugins=plugins,
    )


_SDK = tuple(int(part) for part in re.findall(r"\d+", version("temporalio"))[:2])
_TAKES_COMMANDS = (1, 35)
"""The first version of temporalio with which that was tried."""


@dataclass(frozen=True)
class NamespaceFacts:
    """What the server says of a namespace.

    Attributes:
        id: what no other namespace of any server has; empty where the server does not say.
        tells_of_cancels: whether it tells a worker of an activity's cancellation by itself, without a heartbeat
            (`worker_commands`, from server 1.32 on where it is turned on).
    """

    id: str = ""
    tells_of_cancels: bool = False


async def namespace_facts(client: Client) -> NamespaceFacts:
    """Asks the server; with a warning, and nothing known, where it does not say."""
    try:
        answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        logger.warning(
            "the namespace %r does not say its id (%s): what a terminated or replaced run has left in the database is "
            "not ended by the one in its place",
            client.namespace,
            error,
        )
        return NamespaceFacts()
    info = answer.namespace_info
    # SDKs before this one may know of the capability, and take no such commands.
    tells = _SDK >= _TAKES_COMMANDS and bool(getattr(info.capabilities, "worker_commands", False))
    return NamespaceFacts(info.id, tells)


async def _has_namespace(client: Client, settings: ConnectionSettings) -> bool:
    """Whether the namespace is there, as far as the server says.

    Raises:
        RPCError: the server refuses us, or is not ready yet.
    """
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=settings.namespace))
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        if error.status in _SAYS_SOMETHING:
            raise
        # Anything else says nothing about the namespace (some servers do not let clients describe it).
    return True


_SAYS_SOMETHING = (
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
)


def _no_namespace(settings: ConnectionSettings) -> DbtTemporalError:
    return configuration_error(
        f"the Temporal server at {settings.target} has no namespace {settings.namespace!r}: correct "
        "TEMPORAL_NAMESPACE, or create it with `temporal operator namespace create`."
    )


def _connection_error(settings: ConnectionSettings, error: Exception) -> DbtTemporalError:
    remedy = remedy_for(error, tls=settings.tls, client_cert=settings.has_client_cert)
    return configuration_error(f"cannot connect to {settings.describe()}: {cause_of(error)}. {remedy}")
