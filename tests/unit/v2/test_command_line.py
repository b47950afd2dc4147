"""Inputs as words of dbt v2's command line, and what the engine refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_v2 import command_line
from dbt_temporal.adapters.dbt_v2.binary import find_binary, missing_binary, read_binary
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import parse_run_input


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (
            {"command": "docs-generate", "compile": False},
            "compile: docs-generate .* is .*--write-catalog",
        ),
        ({"command": "docs-generate", "static": True}, "static: .* has no such flag"),
        ({"command": "docs-generate", "empty_catalog": True}, "empty_catalog: .* has no such flag"),
        ({"command": "clone"}, "state_manifest_ref: .*: Use --state or --defer-state to provide a state manifest"),
        (
            {"command": "clone", "state_manifest_ref": "m.json", "resource_types": ["seed"]},
            "resource_types: dbt v2 says of `clone`: unexpected argument '--resource-type'",
        ),
        (
            {"command": "test", "full_refresh": True},
            "full_refresh: the command 'test' of dbt v2 has none; it is for build",
        ),
        ({"command": "compile", "introspect": False}, "introspect: the engine v2 does not take it"),
        ({"command": "show", "output": "text"}, "output: on the engine v2, rows are shown as `json` alone"),
        ({"sources_ref": "sources.json"}, "sources_ref: the engine v2 does not take it"),
    ],
)
def test_what_the_engine_does_not_do_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(DbtTemporalError, match=named):
        command_line.refuse_unsupported(parse_run_input(given), {})


def test_a_state_may_be_the_environments_where_clones_are_made() -> None:
    command_line.refuse_unsupported(parse_run_input({"command": "clone"}), {"DBT_STATE": "prod"})
    command_line.refuse_unsupported(parse_run_input({"command": "clone", "defer_manifest_ref": "m.json"}), {})


def test_docs_are_generated_by_the_words_that_dbt_asks_for() -> None:
    run_input = parse_run_input({"command": "docs-generate", "compile": True, "static": False})
    command_line.refuse_unsupported(run_input, {})
    assert command_line.command_words("docs-generate") == ("compile", "--write-catalog")
    assert command_line.command_words("source-freshness") == ["source", "freshness"]


def test_a_query_is_one_word_with_its_option() -> None:
    assert command_line.inline("-- all\nselect 1") == ["--inline=-- all\nselect 1"]


@pytest.mark.parametrize(
    ("given", "environ", "favored", "words"),
    [
        ({}, {}, False, []),
        ({}, {"DBT_FAVOR_STATE": "true"}, True, []),
        ({"favor_state": True}, {"DBT_FAVOR_STATE": "false"}, True, ["--favor-state"]),
        ({"favor_state": False}, {"DBT_ENGINE_FAVOR_STATE": "1"}, False, ["--no-favor-state"]),
    ],
)
def test_whether_a_deferred_state_is_favored_says_the_input_or_else_the_environment(
    given: dict[str, Any], environ: dict[str, str], favored: bool, words: list[str]
) -> None:
    run_input = parse_run_input(given)
    command_line.refuse_unsupported(run_input, environ)
    assert command_line.favors_state(run_input, environ) is favored
    there = Path("/prod")
    state = command_line.state_words(None, there, run_input.favor_state)
    assert state == ["--defer", "--defer-state", "/prod", *words]
    assert command_line.state_words(there, None, run_input.favor_state) == ["--state", "/prod"]


def test_flags_have_dbts_words() -> None:
    run_input = parse_run_input(
        {"full_refresh": True, "fail_fast": False, "empty": True, "warn_error_options": {"error": "all"}}
    )
    command_line.refuse_unsupported(run_input, {})
    assert command_line.flags(run_input) == [
        *("--full-refresh", "--empty", "--no-fail-fast", "--warn-error-options", '{"error": "all"}')
    ]


@pytest.mark.parametrize(
    ("sample", "word"), [("3 days", "3 days"), ({"start": "2024-01-01", "end": "2024-01-02"}, None)]
)
def test_a_sample_is_a_duration_or_a_window(sample: Any, word: str | None) -> None:
    run_input = parse_run_input({"sample": sample})
    command_line.refuse_unsupported(run_input, {})
    assert command_line.flags(run_input) == ["--sample", word or '{"start": "2024-01-01", "end": "2024-01-02"}']


def test_a_selection_has_the_words_of_the_input() -> None:
    run_input = parse_run_input({"select": "a b+", "exclude": "tag:c", "indirect_selection": "cautious"})
    assert command_line.selection(run_input) == [
        *("--select", "a", "b+", "--exclude", "tag:c", "--indirect-selection", "cautious")
    ]
    assert command_line.exact_selection(["model.p.b", "model.p.a"]) == [
        *("--indirect-selection", "empty", "--select", "model.p.a", "model.p.b")
    ]


def script(folder: Path, text: str, name: str = "dbt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_program_of_pythons_is_not_taken_for_dbt_v2(tmp_path: Path) -> None:
    script(tmp_path, "#!/bin/sh\n")
    assert find_binary(None, {"PATH": str(tmp_path)}) is None
    given = script(tmp_path, "#!/bin/sh\n", "own")
    assert find_binary(str(given), {"PATH": ""}) == given
    assert "DBT_TEMPORAL_V2_BINARY='nope' is no program" in missing_binary("nope").message


@pytest.mark.parametrize(
    ("says", "named"),
    [("dbt-core 1.11.3", "is dbt-core 1.11.3, and the engine v2 is for dbt 2"), ("grep 3", "is not dbt v2")],
)
async def test_another_program_is_refused(tmp_path: Path, says: str, named: str) -> None:
    with pytest.raises(DbtTemporalError, match=named):
        await read_binary(script(tmp_path, f"#!/bin/sh\necho {says}\n"), {})


async def test_dbt_v2_is_known_by_what_it_says(tmp_path: Path) -> None:
    binary = await read_binary(script(tmp_path, "#!/bin/sh\necho dbt-fusion 2.0.0-preview.190\n"), {})
    assert (binary.product, binary.version) == ("dbt-fusion", "2.0.0-preview.190")
