"""Whether and where lineage is sent, by OpenLineage's own variables."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from dbt_temporal.adapters.environment import EnvironmentModel, variable


class OpenLineageSettings(EnvironmentModel):
    """The OPENLINEAGE_* variables that we read ourselves; the client reads `OPENLINEAGE__*`."""

    url: str | None = variable("OPENLINEAGE_URL", None, allowed="a URL, such as http://localhost:5000")
    endpoint: str = variable("OPENLINEAGE_ENDPOINT", "api/v1/lineage", allowed="a path below the URL")
    api_key: SecretStr | None = variable("OPENLINEAGE_API_KEY", None, allowed="an API key")
    config: Path | None = variable("OPENLINEAGE_CONFIG", None, allowed="the path of an openlineage.yml")
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

    @property
    def on(self) -> bool:
        """Whether lineage is sent."""
        return not self.disabled and (self.url is not None or self.config is not None)
