"""docs/run-input.md and docs/error-handling.md say what is so: their examples and tables are read by the code."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
import yaml

from dbt_temporal.adapters.database_errors import classify_database_error
from dbt_temporal.adapters.node_overrides import node_overrides
from dbt_temporal.domain.errors import RETRYABLE_TYPES, DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import ProjectConfig, parse_project_config
from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult
from dbt_temporal.domain.run.commands import Command, commands_with
from dbt_temporal.domain.run.flags import FLAGS, REFUSED
from dbt_temporal.domain.run.input import DbtRunInput, IndirectSelection, parse_run_input
from tests.unit.repository.doc_pages import ROOT, Page

INPUT = Page("docs/run-input.md")
ERRORS = Page("docs/error-handling.md")
PROOFS = Page("docs/contract-tests.md")
FAULTS = Page("docs/reliability.md")


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]*)`", cell)


def test_every_example_is_of_a_kind_that_a_test_reads() -> None:
    assert INPUT.kinds == {("bash", None), ("json", "run input"), ("json", "output")}
    assert ERRORS.kinds == {("bash", None), ("text", None), ("yaml", "dbt_temporal.yml"), ("yaml", "meta")}


@pytest.mark.parametrize("page", [INPUT, ERRORS, FAULTS], ids=lambda page: page.path.name)
def test_every_linked_file_exists(page: Page) -> None:
    assert page.broken_links() == []


@pytest.mark.parametrize("run_input", INPUT.json_blocks("run input"))
def test_each_input_is_accepted(run_input: dict[str, Any]) -> None:
    assert parse_run_input(run_input).model_dump(mode="json", include=set(run_input)) == run_input


def test_the_input_of_the_shell_example_is_accepted() -> None:
    (example,) = INPUT.blocks("bash")
    given = re.search(r"--input '([^']+)'", example)
    assert given is not None
    assert parse_run_input(json.loads(given[1])).select == "+orders"


def test_the_table_of_flags_has_every_flag_with_its_commands() -> None:
    rows = INPUT.table("| flag | type | commands |")
    assert {code(row[0])[0]: (code(row[2]) or row[2]) for row in rows} == {
        name: commands_with(name) or "all" for name in FLAGS
    }
    with_no = {code(row[0])[0] for row in rows if row[1] == "true or false"}
    switches = {name for name in FLAGS if bool in get_args(DbtRunInput.model_fields[name].annotation)}
    assert with_no == {name for name in switches if FLAGS[name].has_no}


def test_each_flag_that_is_refused_is_documented_with_its_reason() -> None:
    rows = INPUT.table("| not in the input | |")
    assert {code(row[0])[0]: row[1] for row in rows} == REFUSED


def test_the_table_has_every_field_with_its_default() -> None:
    rows = INPUT.table("| field | type | default |")
    stated = {name: row[2] for row in rows for name in code(row[0])}
    assert stated.keys() == DbtRunInput.model_fields.keys() - FLAGS.keys()
    for name, default in stated.items():
        if code(default):
            actual = getattr(DbtRunInput(), name)
            assert code(default) == [actual if isinstance(actual, str) else json.dumps(actual)]
        else:
            assert getattr(DbtRunInput(), name) is None


@pytest.mark.parametrize(("field", "values"), [("command", Command), ("indirect_selection", IndirectSelection)])
def test_every_allowed_word_is_listed(field: str, values: Any) -> None:
    (row,) = [row for row in INPUT.table("| field | type | default |") if code(row[0]) == [field]]
    assert set(code(row[3])) == set(get_args(values))


@pytest.mark.parametrize(("wrong", "message"), INPUT.table("| input | message |"))
def test_each_wrong_input_fails_with_the_message_that_the_page_shows(wrong: str, message: str) -> None:
    with pytest.raises(DbtTemporalError) as caught:
        parse_run_input(json.loads(code(wrong)[0]))
    assert caught.value.error_type is ErrorType.CONFIGURATION
    assert message in caught.value.message


def test_the_output_has_every_field() -> None:
    (output,) = INPUT.json_blocks("output")
    assert DbtRunOutput.model_validate(output).model_dump(mode="json") == output
    assert all(
        result.keys()
        == NodeExecutionResult.model_fields.keys() - {"batch", "batches", "failed_ephemerals", "messages", "times"}
        for result in output["node_results"]
    )
    stated = {name for row in INPUT.table("| field | meaning |") for name in code(row[0])}
    assert stated == DbtRunOutput.model_fields.keys()


def test_every_type_of_error_is_explained_with_whether_it_is_tried_again() -> None:
    rows = {code(row[0])[0]: row[1] for row in ERRORS.table("| type | tried again |")}
    assert rows.keys() == {str(each) for each in ErrorType} - {"DbtRunFailed"}
    tried_again = {name for name, answer in rows.items() if answer.startswith("yes")}
    assert tried_again == {str(each) for each in RETRYABLE_TYPES}


@pytest.mark.parametrize(("state", "meaning", "answer"), ERRORS.table("| SQLSTATE | meaning |"))
def test_each_sqlstate_is_treated_as_the_page_says(state: str, meaning: str, answer: str) -> None:
    (sqlstate,) = code(state)
    assert classify_database_error(sqlstate, [], meaning) == (ErrorType.ADAPTER, answer == "yes")


@pytest.mark.parametrize("text", ERRORS.blocks("yaml", "dbt_temporal.yml"))
def test_each_dbt_temporal_yml_is_accepted(text: str) -> None:
    parse_project_config(yaml.safe_load(text), "docs/error-handling.md")


def test_the_first_one_holds_every_default() -> None:
    stated = yaml.safe_load(ERRORS.blocks("yaml", "dbt_temporal.yml")[0])
    assert stated == ProjectConfig().model_dump(include={"breaker", "concurrency", "hold_secs", "retry", "timeouts"})


def test_the_meta_of_the_example_is_accepted() -> None:
    (text,) = ERRORS.blocks("yaml", "meta")
    (model,) = yaml.safe_load(text)["models"]
    overrides = node_overrides("model.shop.huge", model["config"]["meta"])
    assert overrides is not None
    assert overrides.model_dump(exclude_none=True) == {
        "max_attempts": 5,
        "initial_interval_secs": 30,
        "timeout_secs": 14400,
        "task_queue": "dbt-big-machines",
    }


def proofs(page: Page, heading: str) -> list[str]:
    """What stands in the last columns of this heading: `file` or `file: test, test`, tests without their `test_`."""
    told: set[str] = set()
    for table in re.findall(rf"^\|.*\| {heading} \|\n\|[- |]*\n((?:\|.*\n)*)", page.text, re.MULTILINE):
        for line in table.splitlines():
            told |= {proof.strip() for proof in line.strip("| ").split(" | ")[-1].split(";")}
    return sorted(told)


def there(path: str, proof: str) -> bool:
    name, _, tests = proof.partition(": ")
    text = (ROOT / "tests" / path.format(name)).with_suffix(".py").read_text(encoding="utf-8")
    return all(f"def test_{test}" in text for test in tests.split(", ") if test)


@pytest.mark.parametrize("proof", proofs(PROOFS, "proven by"))
def test_every_proof_of_the_contract_is_there(proof: str) -> None:
    assert there("{}" if proof.startswith("unit/") else "integration/{}", proof)


@pytest.mark.parametrize("proof", proofs(FAULTS, "kept by"))
def test_every_proof_of_what_is_promised_is_there(proof: str) -> None:
    assert there("{}", proof)
