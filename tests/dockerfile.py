"""The Dockerfile as the tests read it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"

Instruction = tuple[str, str]


def stages() -> list[list[Instruction]]:
    """The stages of docker/Dockerfile: instructions and their values, comments left out."""
    with DOCKERFILE.open("rb") as file:
        parsed = DockerfileParser(fileobj=file).structure
    found: list[list[Instruction]] = []
    for step in parsed:
        if step["instruction"] == "FROM":
            found.append([])
        if step["instruction"] != "COMMENT":
            found[-1].append((step["instruction"], step["value"]))
    return found


def values(stage: list[Instruction], instruction: str) -> list[str]:
    """What a stage says by one kind of instruction, in order."""
    return [value for name, value in stage if name == instruction]


def assignments(stage: list[Instruction], instruction: str) -> dict[str, str]:
    """The names and values of ENV or ARG; an ARG without default is left out."""
    words = [word for value in values(stage, instruction) for word in shlex.split(value)]
    return dict(word.split("=", 1) for word in words if "=" in word)


def exec_form(text: str) -> list[str]:
    """The words of an instruction in exec form."""
    words: list[str] = json.loads(text)
    return words
