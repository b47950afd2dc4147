"""What a parse depends on: two runs with the same key share a project parent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput

TARGET_VARIABLES = ("DBT_ENGINE_TARGET", "DBT_TARGET")
"""dbt's names for `--target`, in its order."""

ALL_FLAGS = "invocation_command"
"""The flag that repeats all others."""
_FIELD_OF = {
    "which": "command",
    "state": "state_manifest_ref",
    "defer": "defer_manifest_ref",
    "defer_state": "defer_manifest_ref",
}
PARSED_BY = frozenset(name for name, flag in FLAGS.items() if flag.parsed)
"""Flags by which dbt itself parses."""
_FLAG_FIELDS = set(DbtRunInput.model_fields) - {"project", "hooks", "env", "retry_from"}

Covered = Literal["nothing", "sources", "folder"]
"""What a revision stands for: nothing (there is none), the files that dbt may parse, or all that is in the folder."""


@dataclass(frozen=True)
class ParseSettings:
    """Everything that parsing sees of a run.

    Attributes:
        revision: the project's revision, or None where the source has none.
        target: `--target`, or None for the profile's own.
        env: the environment overrides of the run, over the worker's own environment.
        changeable: whether somebody may edit the files, so that they are no longer those of the revision.
    """

    project_dir: str
    profiles_dir: str
    revision: str | None = None
    target: str | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    changeable: bool = False

    @property
    def key(self) -> str:
        """Identifies the parse. Values of env go into it as a digest only, because they may be secrets."""
        return _digest([self.cache_key, self.revision, sorted(self.env.items())])

    @property
    def cache_key(self) -> str:
        """Identifies the partial-parse file, which dbt itself checks against changed files and environment."""
        return _digest([self.project_dir, self.profiles_dir, self.target, self.vars, sorted(self.env)])

    @property
    def covered(self) -> Covered:
        """What need not be looked at where the revision is the same."""
        if self.revision is None:
            return "nothing"
        return "sources" if self.changeable else "folder"

    @classmethod
    def of(
        cls,
        location: ProjectLocation,
        target: str | None = None,
        variables: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> ParseSettings:
        """The settings of a run on a project; the run's target comes before the worker's."""
        return cls(
            project_dir=str(location.project_dir.absolute()),
            profiles_dir=str(location.profiles_dir.absolute()),
            revision=location.revision,
            # As on dbt's command line: --target, the variables of the run, those of the worker.
            target=target or _first_of(env or {}, TARGET_VARIABLES) or location.target,
            vars=dict(variables or {}),
            env=dict(env or {}),
            changeable=location.changeable,
        )


def _first_of(environ: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def flags_digest(run_input: DbtRunInput, names: Collection[str]) -> str:
    """Stands for what a run gives to these flags of dbt, which parsing reads, and to those by which dbt itself parses.

    The rest of them is part of the key.
    """
    values = run_input.model_dump(mode="json", include=_FLAG_FIELDS)
    if run_input.retry_from and ALL_FLAGS in names:
        values["retry_from"] = run_input.retry_from
    read = {_FIELD_OF.get(name, name) for name in names} | PARSED_BY
    return _digest({field: value for field, value in values.items() if ALL_FLAGS in names or field in read})


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
