"""docs/configuration.md lists every variable that is read, with its type and default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from dbt_temporal.adapters.environment import EnvironmentModel, variable_names
from dbt_temporal.entrypoints.settings import RunSettings, Settings

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
TYPES: dict[Any, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret",
}


def groups() -> Iterator[type[EnvironmentModel]]:
    """Every group of settings that a worker reads."""
    yield RunSettings  # spread over Settings itself
    for field in Settings.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, EnvironmentModel):
            yield field.annotation


FIELDS = {name: field for group in groups() for field in group.model_fields.values() for name in variable_names(field)}


def rows() -> dict[str, list[str]]:
    """The cells behind the first one, by each variable in the first one."""
    found: dict[str, list[str]] = {}
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", first):
                assert name not in found, f"{name} stands in the page twice"
                found[name] = cells
    return found


ROWS = rows()


def type_in_words(annotation: Any) -> str:
    """A field's type as the page names it."""
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is dict:
        return "JSON object"
    members = [member for member in get_args(annotation) if member not in (type(None), Ellipsis)]
    if get_origin(annotation) is tuple:
        return f"list of {TYPES[members[0]]}s"
    if members and get_origin(members[0]) is Literal:
        return type_in_words(members[0])
    return TYPES[members[0] if members else annotation]


def default_in_words(field: FieldInfo) -> str | None:
    """A field's default as the page writes it; None where the page says in words what happens without one."""
    if field.default in (None, ()):
        return None
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, tuple):
        return f"`{','.join(str(entry) for entry in field.default)}`"
    if isinstance(field.default, float):
        return f"`{field.default:g}`"
    return f"`{field.default}`"


def test_the_page_lists_the_variables_that_are_read_and_no_others() -> None:
    assert len(FIELDS) > 30
    in_settings_tables = {name for name, cells in ROWS.items() if len(cells) == 3}
    assert in_settings_tables == set(FIELDS)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_the_page_gives_each_variable_its_type_and_default(name: str) -> None:
    kind, default, meaning = ROWS[name]
    assert kind == type_in_words(FIELDS[name].annotation)
    expected = default_in_words(FIELDS[name])
    if expected is None:
        assert not default.startswith("`")
    else:
        assert re.split(r" \(| with ", default)[0] == expected
    assert meaning


def test_each_variable_stands_in_a_test_of_a_worker_that_runs() -> None:
    folders = [Path(__file__).parents[2] / name for name in ("integration", "faults")]
    tests = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    assert [name for name in ROWS if not re.search(rf"\b{name}\b", tests)] == []
