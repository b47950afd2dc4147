"""Temporal's own client configuration: temporal.toml and the TEMPORAL_* names of its SDKs and command line.

Read by the SDK (https://docs.temporal.io/develop/environment-configuration), so its rules hold. Our own variables,
some of which have the same names, come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.envconfig import ClientConfigProfile, DataSource

_HOMES = frozenset({"HOME", "XDG_CONFIG_HOME", "TEMPORAL_CONFIG_FILE"})
"""Where a configuration file may be; tests give environments without them, and meet no file of the machine."""


@dataclass(frozen=True)
class TemporalProfile:
    """What Temporal's configuration says. Certificates and keys are PEM; None means not said.

    Attributes:
        name: the profile, as TEMPORAL_PROFILE names it.
        tls_disabled: True is TLS off, False is on.
        server_name: the name that the server's certificate must have, in place of the address's.
        server_ca: what the server's certificate is checked against, in place of the system's CAs.
        metadata: gRPC headers for each call.
    """

    name: str | None = None
    address: str | None = None
    namespace: str | None = None
    api_key: str | None = field(default=None, repr=False)
    tls_disabled: bool | None = None
    server_name: str | None = None
    server_ca: bytes | None = None
    client_cert: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)

    def variables(self) -> dict[str, str]:
        """The variables of ours that the profile stands in for."""
        variables = {
            "TEMPORAL_ADDRESS": self.address,
            "TEMPORAL_NAMESPACE": self.namespace,
            "TEMPORAL_API_KEY": self.api_key,
        }
        return {name: value for name, value in variables.items() if value}


def read_profile(environ: Mapping[str, str]) -> TemporalProfile:
    """Reads the profile that the environment names, by default `default`; an empty one where there is none.

    A file is looked for in the user's configuration folder only where the environment says whose that is.

    Raises:
        ValueError: saying what is wrong.
    """
    name = environ.get("TEMPORAL_PROFILE")
    file = environ.get("TEMPORAL_CONFIG_FILE")
    if file and not Path(file).is_file():
        raise ValueError(f"TEMPORAL_CONFIG_FILE={file!r}: there is no such file")  # the SDK would pass over it
    try:
        loaded = ClientConfigProfile.load(
            profile=name, disable_file=not (_HOMES & environ.keys()), override_env_vars=dict(environ)
        )
    except Exception as error:  # ConfigError of the SDK's bridge, which it exports nowhere
        raise ValueError(f"Temporal's own configuration (TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE): {error}") from error
    tls = loaded.tls
    return TemporalProfile(
        name=name,
        address=loaded.address,
        namespace=loaded.namespace,
        api_key=loaded.api_key,
        tls_disabled=tls.disabled if tls else None,
        server_name=tls.server_name if tls else None,
        server_ca=_pem(tls.server_root_ca_cert, "TEMPORAL_TLS_SERVER_CA_CERT_PATH") if tls else None,
        client_cert=_pem(tls.client_cert, "TEMPORAL_TLS_CLIENT_CERT_PATH") if tls else None,
        client_key=_pem(tls.client_private_key, "TEMPORAL_TLS_CLIENT_KEY_PATH") if tls else None,
        metadata=loaded.grpc_meta,
    )


def _pem(source: DataSource | None, variable: str) -> bytes | None:
    if source is None:
        return None
    try:
        if isinstance(source, Path):
            return read_pem(source)
        return check_pem(source if isinstance(source, bytes) else source.encode())
    except ValueError as error:
        place = f"={str(source)!r}" if isinstance(source, Path) else ""
        raise ValueError(f"{variable}{place}: {error}") from error


def read_pem(path: Path) -> bytes:
    """A PEM file.

    Raises:
        ValueError: it cannot be read, or is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): give the path of a PEM file") from error
    return check_pem(content)


def check_pem(content: bytes) -> bytes:
    """The content, if it is PEM.

    Raises:
        ValueError: it is not.
    """
    if b"-----BEGIN" not in content:
        raise ValueError("is not a PEM file (no -----BEGIN line)")
    return content
