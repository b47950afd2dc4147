"""The projects that this worker has loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable

from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

KEPT_REVISIONS = 100
"""How many revisions of a project are known, so that a run that was planned on one goes on after files were edited."""


class ProjectRegistry:
    """Loaded projects by name, the newest revision of each first."""

    def __init__(
        self,
        projects: Iterable[ReadyProject] = (),
        reread: Callable[[ReadyProject], Awaitable[ReadyProject]] | None = None,
    ) -> None:
        """`reread` gives a project as its files are now (see `RereadProject`); without it, they never change."""
        self._reread = reread
        self._projects: dict[str, list[ReadyProject]] = {}
        for project in projects:
            self.add(project)

    @property
    def names(self) -> list[str]:
        return sorted(self._projects)

    @property
    def only(self) -> str | None:
        """The name of the project of runs that name none; None where there is not just one."""
        return next(iter(self._projects)) if len(self._projects) == 1 else None

    def add(self, project: ReadyProject) -> None:
        """Takes in a project; where its name is known, this is its newest revision from now on."""
        revision = project.loaded.location.revision
        known = self._projects.get(project.loaded.name, [])
        others = [older for older in known if older.loaded.location.revision != revision]
        self._projects[project.loaded.name] = [project, *others][:KEPT_REVISIONS]

    async def resolve(self, name: str | None, revision: str | None = None) -> ReadyProject:
        """Finds a project.

        Args:
            name: its name; None means the only one that is loaded.
            revision: the revision that a run was planned on; None means that of the files as they are now.

        Raises:
            DbtTemporalError: of type ProjectNotFound, naming the loaded projects. Where only the revision is missing
                it is retryable, since another worker may have it. Configuration, where no revision is asked for and
                files that were edited cannot be read.
        """
        if name is None:
            name = self._only()
        if name not in self._projects:
            raise _not_found(f"project {name!r} is not loaded on this worker; loaded: {self._loaded()}")
        if revision is None:
            return await self._newest(name)
        known = self._known(name, revision)
        if known is None:  # another worker may have planned after an edit that this one has not seen yet
            with contextlib.suppress(DbtTemporalError):  # what is wrong with the files here is no fault of that run
                await self._newest(name)
            known = self._known(name, revision)
        if known is not None:
            return known
        here = ", ".join(str(project.loaded.location.revision) for project in self._projects[name])
        message = f"revision {revision} of project {name!r} is not loaded on this worker; loaded: {here}"
        raise DbtTemporalError(ErrorType.PROJECT_NOT_FOUND, message, retryable=True)

    async def _newest(self, name: str) -> ReadyProject:
        newest = self._projects[name][0]
        if self._reread is not None:
            newest = await self._reread(newest)
            self.add(newest)
        return newest

    def _known(self, name: str, revision: str) -> ReadyProject | None:
        revisions = self._projects[name]
        return next((project for project in revisions if project.loaded.location.revision == revision), None)

    def _only(self) -> str:
        if self.only is not None:
            return self.only
        if not self._projects:
            raise _not_found("no project is loaded on this worker")
        raise _not_found(f"`project` is required, because several projects are loaded: {self._loaded()}")

    def _loaded(self) -> str:
        return ", ".join(self.names) or "none"


def _not_found(message: str) -> DbtTemporalError:
    return DbtTemporalError(ErrorType.PROJECT_NOT_FOUND, message)
