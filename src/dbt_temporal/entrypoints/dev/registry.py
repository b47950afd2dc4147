"""The dev servers that run for this user, so that commands in another terminal find them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from dbt_temporal.domain.errors import configuration_error


class DevServer(BaseModel):
    """One `dbt-temporal dev` that runs. `started` is the process's creation time, since process ids are used again."""

    pid: int
    started: float
    address: str
    namespace: str
    task_queue: str
    ui_url: str | None = None
    projects: list[str]


@dataclass(frozen=True)
class DevRegistry:
    """Files in the user's cache folder, one for each dev server."""

    cache_dir: Path

    @property
    def _folder(self) -> Path:
        return self.cache_dir / "dev"

    def announce(self, server: DevServer) -> Path:
        """Writes the file of a server, whole or not at all. Returns its path."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{server.pid}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(server.model_dump_json(indent=2))
        os.replace(draft, path)
        return path

    def withdraw(self, pid: int) -> None:
        (self._folder / f"{pid}.json").unlink(missing_ok=True)

    def running(self) -> list[DevServer]:
        """The servers that still run; files of those that were killed are removed."""
        servers = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                server = DevServer.model_validate_json(path.read_text())
            except (OSError, ValidationError):
                continue
            if _runs(server):
                servers.append(server)
            else:
                path.unlink(missing_ok=True)
        return servers

    def server_for(self, folder: Path) -> DevServer | None:
        """The server that a command started in `folder` means: the one whose project holds it, else the only one.

        Raises:
            DbtTemporalError: of type Configuration, where several run and none of them is for this folder.
        """
        servers = self.running()
        folder = folder.resolve()
        here = [
            server
            for server in servers
            if any(folder.is_relative_to(Path(project).resolve()) for project in server.projects)
        ]
        candidates = here or servers
        if len(candidates) > 1:
            known = "; ".join(f"{server.address} ({', '.join(server.projects)})" for server in candidates)
            raise configuration_error(f"several dev servers run: {known}. Choose one by --address or TEMPORAL_ADDRESS.")
        return candidates[0] if candidates else None


def this_process() -> tuple[int, float]:
    """The id and creation time of this process."""
    return os.getpid(), psutil.Process().create_time()


def _runs(server: DevServer) -> bool:
    try:
        return abs(psutil.Process(server.pid).create_time() - server.started) < 1
    except psutil.Error:
        return False
