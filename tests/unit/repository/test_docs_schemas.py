"""The JSON Schemas and the types of examples/client are those of the models, and say what a run accepts."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from dbt_temporal import DbtRunInput, DbtRunOutput, DbtTemporalError, input_schema, output_schema
from dbt_temporal.domain.run.input import parse_run_input
from tests.unit.repository.doc_pages import ROOT, Page

MAKER = runpy.run_path(str(ROOT / "docs" / "schemas" / "make.py"))
FILES: list[tuple[Path, str]] = list(MAKER["generated"]())
INPUT = Draft202012Validator(input_schema())
OUTPUT = Draft202012Validator(output_schema())
TYPESCRIPT = ROOT / "examples" / "client" / "typescript"


@pytest.mark.parametrize(("path", "text"), FILES, ids=lambda each: each.name if isinstance(each, Path) else "")
def test_what_is_generated_is_there_as_it_is_now(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "make schemas"


@pytest.mark.parametrize("schema", [input_schema(), output_schema()], ids=["input", "output"])
def test_each_is_a_schema_in_which_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    referred = set(re.findall(r"#/\$defs/(\w+)", json.dumps(schema)))
    assert referred == set(schema["$defs"])


@pytest.mark.parametrize("run_input", [{}, *Page("docs/run-input.md").json_blocks("run input")])
def test_inputs_of_the_documentation_are_valid(run_input: dict[str, Any]) -> None:
    INPUT.validate(run_input)


@pytest.mark.parametrize(
    "wrong",
    [
        {"comand": "build"},
        {"command": "biuld"},
        {"threads": 0},
        {"full_refresh": "yes"},
        {"env": {"PASSWORD": {"from_vault": "x"}}},
        {"hooks": {"pre_run": [{"workflow_type": "notify"}]}},
        {"on_failure": "retry"},
    ],
    ids=json.dumps,
)
def test_what_a_run_refuses_for_its_type_the_schema_refuses_too(wrong: dict[str, Any]) -> None:
    with pytest.raises(DbtTemporalError):
        parse_run_input(wrong)
    with pytest.raises(ValidationError):
        INPUT.validate(wrong)


def test_every_field_of_the_input_is_in_its_schema() -> None:
    assert set(input_schema()["properties"]) == set(DbtRunInput.model_fields)
    INPUT.validate(DbtRunInput(command="seed").model_dump(mode="json"))


def test_an_output_as_it_is_sent_is_valid() -> None:
    (payload,) = Page("docs/hooks.md").json_blocks("payload")
    OUTPUT.validate(payload["output"])
    OUTPUT.validate(DbtRunOutput(invocation_id="i", success=True).model_dump(mode="json"))


def test_an_output_without_one_of_its_fields_is_not() -> None:
    output = DbtRunOutput(invocation_id="i", success=True).model_dump(mode="json")
    del output["node_results"]
    with pytest.raises(ValidationError, match="'node_results' is a required property"):
        OUTPUT.validate(output)


def test_the_generator_of_types_knows_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="no rule for"):
        MAKER["type_of"]({"type": "string", "not": {}} | {"type": "date"})


def test_the_npm_packages_have_exact_versions_and_no_lock_file() -> None:
    package = json.loads((TYPESCRIPT / "package.json").read_text())
    versions = package["dependencies"] | package["devDependencies"]
    assert {name: version for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == {}
    assert not (TYPESCRIPT / "package-lock.json").exists()


def test_every_file_that_the_readme_of_the_example_links_to_exists() -> None:
    assert Page("examples/client/README.md").broken_links() == []
