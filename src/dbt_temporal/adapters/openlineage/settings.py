"""Whether and where lineage is sent, by OpenLineage's own variables."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator

from dbt_temporal.adapters.environment import EnvironmentModel, variable


class OpenLineageSettings(EnvironmentModel):
    """The OPENLINEAGE_* variables that we read ourselves; the client reads `OPENLINEAGE__*`.

    Of these, `client_transport` and `client_transport_type` say that it finds by itself where events go.
    """

    url: str | None = variable("OPENLINEAGE_URL", None, allowed="a URL, such as http://localhost:5000")
    endpoint: str = variable("OPENLINEAGE_ENDPOINT", "api/v1/lineage", allowed="a path below the URL")
    api_key: SecretStr | None = variable("OPENLINEAGE_API_KEY", None, allowed="an API key")
    config: Path | None = variable("OPENLINEAGE_CONFIG", None, allowed="the path of an openlineage.yml")
    client_transport: SecretStr | None = variable("OPENLINEAGE__TRANSPORT", None, allowed="a transport as JSON")
    client_transport_type: str | None = variable("OPENLINEAGE__TRANSPORT__TYPE", None, allowed="a type of transport")
    namespace: str = variable("OPENLINEAGE_NAMESPACE", "dbt", allowed="the namespace of jobs")
    disabled: bool = variable("OPENLINEAGE_DISABLED", False, allowed="true or false")

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must be a URL, such as http://localhost:5000")
        return url

    @field_validator("config")
    @classmethod
    def _is_file(cls, path: Path) -> Path:
        if not path.is_file():
            raise ValueError("is not a file: give the path of an openlineage.yml")
        return path

    @field_validator("client_transport")
    @classmethod
    def _has_type(cls, transport: SecretStr) -> SecretStr:
        try:
            config = json.loads(transport.get_secret_value())
        except ValueError:
            config = None
        if not isinstance(config, dict):
            raise ValueError('must be a transport as JSON, such as {"type": "http", "url": "http://localhost:5000"}')
        return transport

    @model_validator(mode="after")
    def _knows_what_to_do(self) -> OpenLineageSettings:
        transport = self.client_transport
        if transport is None or self._by_us or self.client_transport_type is not None:
            return self
        if not json.loads(transport.get_secret_value()).get("type"):
            # The client would print all events.
            raise ValueError("OPENLINEAGE__TRANSPORT: has no `type`, and OPENLINEAGE__TRANSPORT__TYPE is not set")
        return self

    @property
    def _by_us(self) -> bool:
        return self.url is not None or self.config is not None

    @property
    def by_client_variables(self) -> bool:
        """Whether the client's own variables alone say where events go."""
        return not self._by_us and (self.client_transport is not None or self.client_transport_type is not None)

    @property
    def on(self) -> bool:
        """Whether lineage is sent."""
        return not self.disabled and (self._by_us or self.by_client_variables)
