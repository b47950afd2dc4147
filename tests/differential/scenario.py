"""A project and the commands that a person runs on it one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NAME = "shop"
"""The name of every project; each lies in a folder of its own."""

_COMMANDS = {"source-freshness": ["source", "freshness"]}
_LISTS = ("select", "exclude")
_VALUES = ("selector", "indirect_selection")
_SWITCHES = ("full_refresh", "fail_fast")


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
        for name in _LISTS:
            if name in self.options:
                words += [f"--{name}", *str(self.options[name]).split()]
        for name in _VALUES:
            if name in self.options:
                words += [_option(name), str(self.options[name])]
        if self.options.get("vars"):
            words += ["--vars", json.dumps(self.options["vars"])]
        if "target" in self.options:
            words += ["--target", str(self.options["target"])]
        if state is not None:
            words += ["--state", str(state)]
        if self.defer:
            words += ["--defer-state", str(state), "--defer"]
        for name in _SWITCHES:
            if name in self.options:
                words.append(_option(name) if self.options[name] else _option(f"no_{name}"))
        return words

    def run_input(self, env: Mapping[str, str], state: str | None, results: str | None) -> dict[str, Any]:
        """The same as the workflow's input. `state` and `results` refer to artifacts of runs before it."""
        filled: dict[str, Any] = {"project": NAME, "env": {**env, **self.env}, **self.options}
        if self.retry:
            filled["retry_from"] = results
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
    """

    files: Mapping[str, str]
    steps: tuple[Step, ...]
    threads: int = 1

    def to_json(self) -> str:
        """The scenario as text, to be kept."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        """What `to_json` wrote."""
        fields = json.loads(text)
        return cls(fields["files"], tuple(Step(**step) for step in fields["steps"]), fields["threads"])


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
