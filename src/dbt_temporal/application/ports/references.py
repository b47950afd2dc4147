"""Artifacts of earlier runs that a run refers to."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ArtifactReferences(Protocol):
    """Fetches what `state_manifest_ref`, `sources_ref`, `defer_manifest_ref` and `retry_from` name."""

    async def fetch(self, field: str, reference: str, folder: Path) -> str:
        """Makes a reference one to a path of this machine, on which the engine can work.

        Args:
            field: the field of the run's input, for messages.
            reference: a path, or the URL of an artifact or of the folder that holds it.
            folder: where to put copies; it is made where it is needed.

        Returns:
            The reference itself where it is a path already, else the path of the copy.

        Raises:
            DbtTemporalError: Configuration where there is nothing at the URL, ArtifactStore where it cannot be read.
        """
