"""Where projects come from."""

from __future__ import annotations

from typing import Protocol

from dbt_temporal.application.ports.engine import ProjectLocation


class ProjectSource(Protocol):
    """One entry of the configuration of projects: a folder, a repository, a bucket."""

    async def locate(self) -> list[ProjectLocation]:
        """Fetches what must be fetched, and says where each project of this source lies on this machine.

        Raises:
            DbtTemporalError: of type Configuration, naming the source and what is wrong with it.
        """
