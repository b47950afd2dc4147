"""Which environment variables are the worker's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

CODEC_KEYS_VARIABLE = "TEMPORAL_CODEC_KEYS"
CODEC_TOKEN_VARIABLE = "DBT_TEMPORAL_CODEC_SERVER_TOKEN"
API_KEY_VARIABLE = "TEMPORAL_API_KEY"
OWN_SECRETS = (
    API_KEY_VARIABLE,
    CODEC_KEYS_VARIABLE,
    CODEC_TOKEN_VARIABLE,
    "TEMPORAL_TLS_*",
    "TEMPORAL_GRPC_META_*",
    "TEMPORAL_METRICS_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_*HEADERS",
    "OPENLINEAGE_API_KEY",
    "OPENLINEAGE__*",
    "GITHUB_TOKEN",
    "GIT_TOKEN",
)
"""The worker's own credentials, which dbt never sees: whoever may start a run could read them into a warehouse."""
_OWN_SETTINGS = ("TEMPORAL_*", "DBT_TEMPORAL_*", *OWN_SECRETS)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a variable's name is one of these; `*` stands for any part of a name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def without_own_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment as dbt may see it."""
    return {name: value for name, value in environ.items() if not matches(name, OWN_SECRETS)}


def is_own_setting(name: str) -> bool:
    """Whether a variable is the worker's own, which no run may name as its secret, whatever is allowed."""
    return matches(name, _OWN_SETTINGS)
