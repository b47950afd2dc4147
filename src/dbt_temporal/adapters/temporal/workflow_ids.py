"""The ids of runs' workflows: they name the command and the project, for whoever reads them."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from uuid import uuid4

from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput

_OWN_ID = re.compile(
    rf"dbt-({'|'.join(map(re.escape, COMMANDS))})-(.+)-(?:\d{{8}}-\d{{6}}-[0-9a-f]{{6}}|[0-9a-f]{{16}})", re.ASCII
)
"""What `new_workflow_id` and `workflow_id_of` make; ids of schedules have their name in place of the project's."""
_NO_PROJECT = "default"
"""What such an id has in place of a project that was not named."""


def new_workflow_id(run_input: DbtRunInput, project: str | None = None) -> str:
    """A readable id that no other run has: `dbt-build-shop-20260131-060000-1a2b3c`.

    Args:
        run_input: what is run.
        project: the project of runs that name none, where it is known.
    """
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{_begin_of_id(run_input, project)}-{now}-{uuid4().hex[:6]}"


def workflow_id_of(run_input: DbtRunInput, request_id: str, project: str | None = None) -> str:
    """The id of the run that a request asks for: the same each time that the request is sent.

    `dbt-build-shop-1a2b3c4d5e6f7a8b`: without the time, since only the request is known then.
    """
    return f"{_begin_of_id(run_input, project)}-{hashlib.sha256(request_id.encode()).hexdigest()[:16]}"


def named_in_id(workflow_id: str) -> tuple[str, str]:
    """The command and the project that a workflow id of ours names; empty what it does not."""
    found = _OWN_ID.fullmatch(workflow_id)
    if found is None:
        return "", ""
    return found[1], "" if found[2] == _NO_PROJECT else found[2]


def _begin_of_id(run_input: DbtRunInput, project: str | None) -> str:
    project = re.sub(r"[^A-Za-z0-9_.-]+", "-", run_input.project or project or _NO_PROJECT)
    return f"dbt-{run_input.command}-{project}"
