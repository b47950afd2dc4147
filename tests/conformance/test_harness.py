"""What the comparison rests on: command lines become inputs, and two verdicts become one word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.arguments import NotOursError, run_request
from tests.conformance.differences import KNOWN
from tests.conformance.report import CLI_ALONE, EQUAL, IN_BOTH, NO_RUN, UNEXPLAINED, word_for
from tests.conformance.report import KNOWN as DIFFERS
from tests.conformance.scenarios import scenarios
from tests.conformance.verdicts import CLI, FAILED, OURS, PASSED, Verdict


@pytest.fixture(autouse=True)
def _a_home_without_dbt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where dbt has never run there is no ~/.dbt, which its command line insists on when nothing names another."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run"], {"command": "run"}),
        (["--debug", "run", "-m", "a", "b+"], {"command": "run", "select": "a b+"}),
        (["build", "--select", "a", "--select", "b"], {"command": "build", "select": "a b"}),
        (["seed", "--full-refresh"], {"command": "seed", "full_refresh": True}),
        (["run", "--vars", "{a: 1}"], {"command": "run", "vars": {"a": 1}}),
        (["--fail-fast", "test"], {"command": "test", "fail_fast": True}),
        (["run", "--state", "s", "--defer"], {"command": "run", "state_manifest_ref": "s", "defer_manifest_ref": "s"}),
    ],
)
def test_an_option_becomes_the_field_that_stands_for_it(words: list[str], expected: dict[str, Any]) -> None:
    assert run_request(words).input == expected


def test_an_option_without_a_field_becomes_its_environment_variable() -> None:
    request = run_request(["test", "--store-failures", "--no-partial-parse"]).input
    # Fields of that name may come; the variables then are not needed any more.
    values = {**request.get("env", {}), **request}
    assert values.get("store_failures", values.get("DBT_STORE_FAILURES")) in (True, "true")
    assert values.get("partial_parse", values.get("DBT_PARTIAL_PARSE")) in (False, "false")


@pytest.mark.parametrize("words", [["docs", "serve"], ["debug"], ["list"], ["run", "--no-such-option"]])
def test_what_no_input_stands_for_is_left_to_the_command_line(words: list[str]) -> None:
    with pytest.raises(NotOursError):
        run_request(words)


@pytest.mark.parametrize(
    ("cli", "ours", "runs", "word"),
    [
        (PASSED, PASSED, 1, EQUAL),
        (PASSED, PASSED, 0, NO_RUN),
        (PASSED, FAILED, 1, UNEXPLAINED),
        (FAILED, FAILED, 1, IN_BOTH),
        (FAILED, PASSED, 1, CLI_ALONE),
    ],
)
def test_two_verdicts_are_one_word(cli: str, ours: str, runs: int, word: str) -> None:
    assert word_for(_verdict("any.Scenario", CLI, cli), _verdict("any.Scenario", OURS, ours, runs)) == word


def test_a_listed_difference_is_explained() -> None:
    scenario = KNOWN[0].scenario
    assert word_for(_verdict(scenario, CLI, PASSED), _verdict(scenario, OURS, FAILED, 1)) == DIFFERS


def test_a_listed_difference_names_a_scenario_that_there_is() -> None:
    keys = {scenario.key for scenario in scenarios()}
    assert [known.scenario for known in KNOWN if not any(known.scenario.startswith(key) for key in keys)] == []


def _verdict(scenario: str, mode: str, verdict: str, runs: int = 0) -> Verdict:
    return Verdict("postgres", scenario, "test_it", mode, "1.11.16", verdict, runs=runs)
