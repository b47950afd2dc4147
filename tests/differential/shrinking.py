"""Makes a scenario that differs small: whatever may be left out while something still differs, is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.differential.arena import Arena
from tests.differential.scenario import Scenario

_NEEDED = frozenset({"dbt_project.yml"})


async def shrunk(arena: Arena, scenario: Scenario, tell: Callable[[str], object]) -> Scenario:
    """The smallest scenario that was reached by leaving out steps, files and options, one at a time."""
    kinds = _kinds((await arena.run(scenario)).differences)
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(scenario):
            report = await arena.run(candidate)
            if _kinds(report.differences) & kinds:
                tell(f"    smaller: {len(candidate.files)} files, {len(candidate.steps)} steps")
                scenario = candidate
                smaller = True
                break
    return scenario


def _kinds(differences: list[str]) -> set[str]:
    """What differs, without where: so that another difference is not taken for the same one."""
    return {
        line.split(": ")[1] + line.split(": ")[2].rpartition(".")[2] for line in differences if line.count(": ") > 1
    }


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    for number in range(len(scenario.steps)):
        rest = scenario.steps[:number] + scenario.steps[number + 1 :]
        if rest:
            yield replace(scenario, steps=rest)
    for file in reversed(list(scenario.files)):
        if file not in _NEEDED:
            yield replace(scenario, files={name: text for name, text in scenario.files.items() if name != file})
    for number, step in enumerate(scenario.steps):
        less = [replace(step, options={}), replace(step, env={}), replace(step, edits={})]
        less += [
            replace(step, options={other: value for other, value in step.options.items() if other != name})
            for name in step.options
        ]
        for each in less:
            if each != step:
                yield replace(scenario, steps=(*scenario.steps[:number], each, *scenario.steps[number + 1 :]))
