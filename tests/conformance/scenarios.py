"""The scenarios of dbt-tests-adapter: every class of the installed package that has tests."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import dbt.tests.adapter

PACKAGE = dbt.tests.adapter.__name__


@dataclass(frozen=True)
class Scenario:
    """A class of tests that share a project.

    Attributes:
        key: module below the package, and class: `basic.test_base.BaseSimpleMaterializations`.
        folder: where the module's data files lie.
    """

    key: str
    test_class: type
    folder: Path


def modules() -> list[ModuleType]:
    """All modules of the package, imported."""
    [root] = [Path(place) for place in dbt.tests.adapter.__path__]
    names = [path.relative_to(root).with_suffix("").parts for path in sorted(root.rglob("*.py"))]
    return [importlib.import_module(".".join([PACKAGE, *name])) for name in names if name[-1] != "__init__"]


def scenarios() -> list[Scenario]:
    """All scenarios, in the order of their modules."""
    return [scenario for module in modules() for scenario in _of_module(module)]


def _of_module(module: ModuleType) -> Iterator[Scenario]:
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    with_tests = [each for each in own if any(name.startswith("test_") for name in dir(each))]
    for test_class in with_tests:
        if not _is_another_name(test_class, with_tests):
            key = f"{module.__name__.removeprefix(PACKAGE + '.')}.{test_class.__name__}"
            yield Scenario(key, test_class, Path(str(module.__file__)).parent)


def _is_another_name(test_class: type, others: list[type]) -> bool:
    """Whether a class adds nothing to one that is a scenario already (`class TestX(BaseX): pass`)."""
    adds = [name for name in vars(test_class) if not name.startswith("__")]
    return not adds and any(base in others for base in test_class.__mro__[1:])
