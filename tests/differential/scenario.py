"""A project and the commands that a person runs on it one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dbt_temporal.domain.run.flags import FLAGS

NAME = "shop"
"""The name of every project; each lies in a folder of its own."""

_COMMANDS = {"source-freshness": ["source", "freshness"], "docs-generate": ["docs", "generate"]}
_FIRST = (
    *("select", "exclude", "selector", "indirect_selection", "vars", "target", "state", "defer_state", "args"),
    *("inline", "limit", "output"),
)
_LAST = ("defer", "full_refresh", "empty_catalog", "compile", "fail_fast")
_WORDS = ("select", "exclude")
"""Options whose text is several words."""


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        command: as the workflow's input names it; of a retry, that of the retried run.
        options: fields of the workflow's input, beside those below.
        env: environment of this command alone.
        edits: files that are written before it, and those that are removed (None).
        state: whether `state:` and `result:` look at the artifacts of the step before.
        defer: whether references to what is not there go to what those artifacts name.
        retry: whether it is `dbt retry`.
    """

    command: str = "build"
    options: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, str | None] = field(default_factory=dict)
    state: bool = False
    defer: bool = False
    retry: bool = False

    def arguments(self, state: Path | None = None) -> list[str]:
        """The words of the command line after `dbt`; `state` is where the artifacts of the step before lie."""
        words = ["retry"] if self.retry else list(_COMMANDS.get(self.command, [self.command]))
        if "macro" in self.options:
            words.append(str(self.options["macro"]))
        given: dict[str, Any] = dict(self.options)
        if state is not None:
            given["state"] = str(state)
        if self.defer:
            given |= {"defer_state": str(state), "defer": True}
        for name in sorted(given.keys() - {"macro"}, key=_place):
            words += _words(name, given[name])
        return words

    def run_input(self, env: Mapping[str, str], state: str | None, results: str | None) -> dict[str, Any]:
        """The same as the workflow's input. `state` and `results` refer to artifacts of runs before it."""
        filled: dict[str, Any] = {"project": NAME, "env": {**env, **self.env}, **self.options}
        if self.retry:
            filled["retry_from"] = results or "no-run-has-left-results"  # the latest run may be another scenario's
        else:
            filled["command"] = self.command
        if state is not None:
            filled["state_manifest_ref"] = state
        if self.defer:
            filled["defer_manifest_ref"] = state
        return filled

    def __str__(self) -> str:
        words = ["dbt", *self.arguments(Path("(before)") if self.state else None)]
        return " ".join([*(f"{name}={value}" for name, value in self.env.items()), *words])


@dataclass(frozen=True)
class Scenario:
    """A project's files by their paths, and the commands.

    Attributes:
        threads: of the profile: with one, the order of nodes is dbt's own and compared too.
        own: columns that no two runs of dbt fill alike, as regular expressions for `schema.relation.column`, and places
            in artifacts (`manifest.json.nodes.<id>.compiled_code`).
    """

    files: Mapping[str, str]
    steps: tuple[Step, ...]
    threads: int = 1
    own: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The scenario as text, to be kept."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        """What `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            fields["files"],
            tuple(Step(**step) for step in fields["steps"]),
            fields["threads"],
            tuple(fields.get("own", ())),
        )


def _place(name: str) -> int:
    """Where an option comes in the command line that a workflow's input stands for, which dbt records."""
    return [*_FIRST, *FLAGS, *_LAST].index(name)


def _words(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    match value:
        case True:
            return [option]
        case False:
            return [option.replace("--", "--no-", 1)]
        case dict():
            return [option, json.dumps(value)]
        case list():
            return [option, *map(str, value)]
        case _:
            return [option, *(str(value).split() if name in _WORDS else [str(value)])]
