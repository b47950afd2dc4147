"""TLS, client certificates and API keys, against servers whose certificates are made here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.connection.polling import is_heard
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for
from tests.integration.temporal.tls import SERVER_NAME, Authority, tls_in_front_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "strange")


@pytest.fixture
async def tls_address(temporal_address: str, authority: Authority) -> AsyncIterator[str]:
    async with tls_in_front_of(temporal_address, authority.server("localhost")) as address:
        yield address


@pytest.fixture
async def mtls_address(temporal_address: str, authority: Authority) -> AsyncIterator[str]:
    context = authority.server("localhost", clients=authority)
    async with tls_in_front_of(temporal_address, context) as address:
        yield address


async def open_client(environ: Mapping[str, str], patience_secs: float = 0.0) -> Client:
    return await connect(read_settings(environ).connection, patience_secs=patience_secs)


async def refused(environ: Mapping[str, str]) -> str:
    """The message of a connection that must fail, at once although there would be time."""
    with pytest.raises(DbtTemporalError) as caught:
        await open_client(environ, patience_secs=0.0)
    return caught.value.message


async def run_over(client: Client, task_queue: str) -> Ending:
    """The end of a run whose worker and caller both use the client."""
    async with AsyncExitStack() as stack:
        harness = RunHarness(client, task_queue, stack)
        harness.engine.run_plan = plan(node("a"))
        return (await harness.run()).ending


async def test_a_run_over_tls_with_a_ca_of_ones_own(tls_address: str, authority: Authority, task_queue: str) -> None:
    client = await open_client(
        {"TEMPORAL_ADDRESS": f"https://{tls_address}", "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file)}
    )
    assert await run_over(client, task_queue) is Ending.COMPLETED


async def test_a_run_over_mutual_tls(mtls_address: str, authority: Authority, task_queue: str) -> None:
    pem = authority.client()
    client = await open_client(
        {
            "TEMPORAL_ADDRESS": mtls_address,
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file),
            "TEMPORAL_TLS_CERT": pem.cert,
            "TEMPORAL_TLS_KEY": pem.key,
        }
    )
    assert await run_over(client, task_queue) is Ending.COMPLETED


async def test_a_profile_of_temporal_toml_connects_and_our_variables_come_first(
    mtls_address: str, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    good, bad = authority.client(), stranger.client()
    file = tmp_path / "temporal.toml"
    file.write_text(f"""
[profile.default]
address = "localhost:1"
[profile.prod]
address = "{mtls_address}"
[profile.prod.tls]
server_ca_cert_path = "{authority.file}"
client_cert_path = "{good.cert}"
client_key_path = "{good.key}"
""")
    environ = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "prod"}
    settings = read_settings(environ).connection
    assert settings.describe() == (
        f"Temporal at {mtls_address}, namespace 'default', TLS, client certificate, profile 'prod'"
    )
    await connect(settings)
    over = {"TEMPORAL_TLS_CERT": bad.cert, "TEMPORAL_TLS_KEY": bad.key}
    assert "TEMPORAL_TLS_CERT" in await refused({**environ, **over})


@pytest.mark.parametrize(
    ("extra", "cause", "remedy"),
    [
        ({}, ": InvalidCertificate(UnknownIssuer). ", "Set TEMPORAL_TLS_SERVER_CA_CERT_PATH to the PEM file of the CA"),
        ({"TEMPORAL_TLS": "true", "TEMPORAL_ADDRESS": ""}, "UnknownIssuer", "Set TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
    ],
    ids=["by the address", "by Temporal's own switch"],
)
async def test_a_server_certificate_of_an_unknown_ca_is_told(
    tls_address: str, extra: dict[str, str], cause: str, remedy: str
) -> None:
    environ = {"TEMPORAL_ADDRESS": f"https://{tls_address}", **extra}
    environ["TEMPORAL_ADDRESS"] = environ["TEMPORAL_ADDRESS"] or tls_address
    message = await refused(environ)
    assert f"cannot connect to Temporal at {tls_address}, namespace 'default', TLS: " in message
    assert cause in message
    assert remedy in message


async def test_a_server_certificate_for_another_name_is_told_and_can_be_allowed(
    temporal_address: str, authority: Authority
) -> None:
    async with tls_in_front_of(temporal_address, authority.server(SERVER_NAME)) as address:
        environ = {
            "TEMPORAL_ADDRESS": f"https://{address}",
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file),
        }
        assert "set TEMPORAL_TLS_SERVER_NAME" in await refused(environ)
        await open_client({**environ, "TEMPORAL_TLS_SERVER_NAME": SERVER_NAME})


async def test_a_missing_client_certificate_is_told(mtls_address: str, authority: Authority) -> None:
    environ = {
        "TEMPORAL_ADDRESS": f"https://{mtls_address}",
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file),
    }
    assert "set TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY" in await refused(environ)


async def test_a_client_certificate_of_an_unknown_ca_is_told(
    mtls_address: str, authority: Authority, stranger: Authority
) -> None:
    pem = stranger.client()
    environ = {
        "TEMPORAL_ADDRESS": mtls_address,
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file),
        "TEMPORAL_TLS_CERT": pem.cert,
        "TEMPORAL_TLS_KEY": pem.key,
    }
    message = await refused(environ)
    assert "client certificate" in message
    assert "signed by a CA that it knows" in message


async def test_a_key_of_another_certificate_is_told(
    mtls_address: str, authority: Authority, stranger: Authority
) -> None:
    environ = {
        "TEMPORAL_ADDRESS": mtls_address,
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file),
        "TEMPORAL_TLS_CERT": authority.client().cert,
        "TEMPORAL_TLS_KEY": stranger.client().key,
    }
    assert "hold a certificate and its private key" in await refused(environ)


async def test_a_server_that_wants_tls_is_told(tls_address: str) -> None:
    message = await refused({"TEMPORAL_ADDRESS": tls_address})
    assert "no TLS" in message
    assert "if the server wants TLS, write the address as https://host:port" in message


async def test_a_server_without_tls_is_told(temporal_address: str) -> None:
    message = await refused({"TEMPORAL_ADDRESS": f"https://{temporal_address}"})
    assert "The server does not speak TLS there" in message


class KeyedServer(grpc.GenericRpcHandler):
    """Hands calls on to a server, if they show the right API key; keeps what it was shown."""

    def __init__(self, key: str, target: str) -> None:
        self.key = key
        self._target = target
        self.shown: list[dict[str, str]] = []
        self.down = False

    @asynccontextmanager
    async def serving(self, authority: Authority) -> AsyncIterator[str]:
        """Serves over TLS; yields `host:port`."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self,))
        cert = authority.ca.issue_cert("localhost")
        credentials = grpc.ssl_server_credentials([(cert.private_key_pem.bytes(), cert.cert_chain_pems[0].bytes())])
        # Of one family: for a name of two addresses, the port found free at the one may be taken at the other.
        port = server.add_secure_port("127.0.0.1:0", credentials)
        async with grpc.aio.insecure_channel(self._target) as self._channel:
            await server.start()
            try:
                yield f"localhost:{port}"
            finally:
                await server.stop(None)

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Every method is handled alike."""

        async def handle(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            headers = {key: str(value) for key, value in context.invocation_metadata() or ()}
            self.shown.append(headers)
            if self.down:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "not ready yet")
            if headers.get("authorization") != f"Bearer {self.key}":
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request unauthorized.")
            onward: Any = self._channel.unary_unary(call.method)
            try:
                return bytes(await onward(request, timeout=context.time_remaining()))
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")

        return grpc.unary_unary_rpc_method_handler(handle)


def by_key(key: str, address: str, authority: Authority) -> dict[str, str]:
    return {
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_API_KEY": key,
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file),
    }


async def test_a_run_by_an_api_key_which_each_call_of_the_worker_shows(
    temporal_address: str, authority: Authority, task_queue: str
) -> None:
    server = KeyedServer("s3cret", temporal_address)
    async with server.serving(authority) as address:
        client = await open_client({**by_key("s3cret", address, authority), "TEMPORAL_GRPC_META_X_TEAM": "data"})
        assert await run_over(client, task_queue) is Ending.COMPLETED
    of_namespace = [headers for headers in server.shown if "temporal-namespace" in headers]
    assert {headers["temporal-namespace"] for headers in of_namespace} == {"default"}
    assert {(headers["authorization"], headers["x-team"]) for headers in server.shown} == {("Bearer s3cret", "data")}


async def test_a_key_that_is_withdrawn_from_a_worker_is_told(temporal_address: str, authority: Authority) -> None:
    server = KeyedServer("s3cret", temporal_address)
    async with server.serving(authority) as address:
        environ = by_key("s3cret", address, authority)
        client = await open_client(environ)
        server.key = "another"
        with pytest.raises(ConnectionError, match="UNAUTHENTICATED: Request unauthorized"):
            await is_heard(client, "any")


async def test_a_wrong_api_key_is_told_without_the_key_and_without_waiting(
    temporal_address: str, authority: Authority
) -> None:
    server = KeyedServer("s3cret", temporal_address)
    async with server.serving(authority) as address:
        environ = by_key("wr0ng", address, authority)
        with pytest.raises(DbtTemporalError) as caught:
            await asyncio.wait_for(open_client(environ, patience_secs=300), 60)
    assert "Check TEMPORAL_API_KEY" in caught.value.message
    assert ": Request unauthorized. Check" in caught.value.message
    assert "wr0ng" not in caught.value.message


async def test_a_server_that_is_not_ready_yet_is_waited_for(temporal_address: str, authority: Authority) -> None:
    server = KeyedServer("s3cret", temporal_address)
    server.down = True
    async with server.serving(authority) as address:
        environ = by_key("s3cret", address, authority)

        async def turned_away() -> bool:
            server.down = not server.shown
            return not server.down

        connecting = asyncio.create_task(open_client(environ, patience_secs=60))
        await wait_for(turned_away)
        await connecting
