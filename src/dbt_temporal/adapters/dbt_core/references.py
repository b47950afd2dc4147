"""Where artifacts of earlier runs lie on this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from dbt_temporal.domain.errors import configuration_error


def local_place(field: str, reference: str, project_dir: Path) -> Path:
    """The path that a reference names; as for dbt's command line, relative to the project.

    Raises:
        DbtTemporalError: of type Configuration, naming the field, where it is a URL of another machine.
    """
    parts = urlsplit(reference)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme and "://" in reference:
        raise configuration_error(f"{field}: cannot read {parts.scheme}:// here; give a local path or a file:// URL")
    return project_dir / reference
