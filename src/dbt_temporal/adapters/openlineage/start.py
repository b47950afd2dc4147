"""Starts sending lineage, where its packages are there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import yaml

from dbt_temporal.adapters.openlineage.settings import OpenLineageSettings
from dbt_temporal.domain.errors import configuration_error

if TYPE_CHECKING:
    from dbt_temporal.adapters.openlineage.sender import OpenLineageSender

logger = logging.getLogger(__name__)

INSTALL = 'pip install "dbt-temporal[openlineage]"'
_VARIABLES = "OPENLINEAGE_URL, OPENLINEAGE_CONFIG, OPENLINEAGE__TRANSPORT__*"


def start_lineage(settings: OpenLineageSettings) -> OpenLineageSender | None:
    """Starts it, where it is on: what it returns is to be closed.

    Raises:
        DbtTemporalError: of type Configuration, where what they name cannot be used.
    """
    if not settings.on:
        return None
    try:
        from dbt_temporal.adapters.openlineage.sender import OpenLineageSender
    except ImportError as error:
        # Platforms set these for every container, whoever uses them.
        logger.warning("%s: nothing is sent without packages: %s (%s)", _VARIABLES, INSTALL, error)
        return None
    try:
        return OpenLineageSender(_client_config(settings), settings.namespace)
    except (ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError, yaml.YAMLError) as error:
        raise configuration_error(f"{_VARIABLES}: no client of OpenLineage can be made of these: {error}") from error


def _client_config(settings: OpenLineageSettings) -> dict[str, Any]:
    """The configuration of OpenLineage's client: that of the file, or one of HTTP; none where its variables have it."""
    if settings.by_client_variables:
        return {}
    if settings.config is not None:
        config = yaml.safe_load(settings.config.read_text(encoding="utf-8"))
        transport = config.get("transport") if isinstance(config, dict) else None
        if not isinstance(transport, dict) or not transport.get("type"):
            raise ValueError(f"{settings.config} has no `transport` with a `type`")
        return dict(config)
    transport = {"type": "http", "url": settings.url, "endpoint": settings.endpoint}
    if settings.api_key is not None:
        transport["auth"] = {"type": "api_key", "apiKey": settings.api_key.get_secret_value()}
    return {"transport": transport}
