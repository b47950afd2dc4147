"""docs/embedding.md names what is public, and nothing else. Its programs are run by tests/integration/embedding."""

from __future__ import annotations

import ast
import re

import pytest

import dbt_temporal
from tests.unit.repository.doc_pages import Page

PAGE = Page("docs/embedding.md")
PROGRAMS = [
    text
    for language, title in sorted(PAGE.kinds, key=str)
    if language == "python"
    for text in PAGE.blocks(language, title)
]


def test_the_table_of_public_names_is_what_the_package_offers() -> None:
    rows = PAGE.table("| name | what it is |")
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row[0])) == sorted(dbt_temporal.__all__)


@pytest.mark.parametrize("text", PROGRAMS)
def test_its_programs_import_public_names_alone(text: str) -> None:
    for statement in ast.walk(ast.parse(text)):
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith("dbt_temporal"):
            assert statement.module == "dbt_temporal"


def test_the_calls_of_the_client_are_there() -> None:
    rows = PAGE.table("| call | what it does |")
    called = {found for row in rows for found in re.findall(r"`(?:await )?(client|run)\.(\w+)", row[0])}
    owners = {"client": dbt_temporal.DbtClient, "run": dbt_temporal.DbtRunHandle}
    assert called
    assert [f"{owner}.{name}" for owner, name in sorted(called) if not hasattr(owners[owner], name)] == []


def test_every_linked_file_exists() -> None:
    assert PAGE.broken_links() == []
