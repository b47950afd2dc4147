"""The commands around encrypted payloads: a new key, and the codec server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from datetime import UTC, datetime

import click

from dbt_temporal.adapters.temporal.payloads.codec_keys import new_key
from dbt_temporal.adapters.temporal.payloads.codec_server import LOOPBACK, CodecServer, CodecServerOptions
from dbt_temporal.adapters.temporal.payloads.encryption import EncryptionCodec
from dbt_temporal.adapters.temporal.payloads.missing_keys import UnencryptedCodec
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.secrets.own_variables import CODEC_TOKEN_VARIABLE
from dbt_temporal.entrypoints.settings import read_settings


def print_new_key(key_id: str | None) -> None:
    """Prints a new entry of TEMPORAL_CODEC_KEYS.

    Raises:
        DbtTemporalError: of type Configuration, where the id is none.
    """
    try:
        click.echo(new_key(key_id or f"key-{datetime.now(UTC):%Y%m%d}"))
    except ValueError as error:
        raise configuration_error(f"--id: {error}") from None


def run_codec_server(
    environ: Mapping[str, str], *, host: str, port: int, cors_origin: tuple[str, ...], allow_anonymous: bool
) -> int:
    """Serves until SIGINT or SIGTERM.

    Raises:
        SettingsError: a variable is wrong.
        DbtTemporalError: of type Configuration: an open server that others reach, or a taken port.
    """
    keys = read_settings(environ).connection.keys
    token = environ.get(CODEC_TOKEN_VARIABLE, "").strip() or None
    if token is None and host not in LOOPBACK and not allow_anonymous:
        raise configuration_error(
            f"--host {host}: others could decrypt every payload there; set {CODEC_TOKEN_VARIABLE}, or say "
            "--allow-anonymous where something in front of this server checks who calls"
        )
    origins = tuple(origin.rstrip("/") for origin in cors_origin)
    codec = EncryptionCodec(keys) if keys else UnencryptedCodec()
    server = CodecServer(codec, CodecServerOptions(host, port, origins, token))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with server.serving() as url:
        ability = f"with the keys {', '.join(keys)}" if keys else "without keys, for payloads that are only compressed"
        click.echo(f"Codec server at {url} {ability}; Ctrl-C ends it.", err=True)
        stopped.wait()
    return 0
