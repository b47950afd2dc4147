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
        ({"command": "docs-generate"}, "command: the engine v2 has .* and not 'docs-generate'"),
        (
            {"command": "test", "full_refresh": True},
            "full_refresh: the command 'test' of dbt v2 has none; it is for build",
        ),
        ({"command": "compile", "introspect": False}, "introspect: the engine v2 does not take it"),
        ({"favor_state": True}, "favor_state: the engine v2 does not take it"),
        ({"command": "show", "output": "text"}, "output: on the engine v2, rows are shown as `json` alone"),
        ({"command": "compile", "inline": "select 1"}, "inline: the engine v2 does not take it"),
        ({"sources_ref": "sources.json"}, "sources_ref: the engine v2 does not take it"),
    ],
)
def test_what_the_engine_does_not_do_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(DbtTemporalError, match=named):
        command_line.refuse_unsupported(parse_run_input(given), {})


def test_a_deferred_state_is_not_favored_over_what_the_run_has_built() -> None:
    run_input = parse_run_input({"defer_manifest_ref": "prod/manifest.json"})
    command_line.refuse_unsupported(run_input, {"DBT_FAVOR_STATE": "false"})
    with pytest.raises(DbtTemporalError, match="DBT_FAVOR_STATE: the engine v2 does not take it"):
        command_line.refuse_unsupported(run_input, {"DBT_FAVOR_STATE": "true"})


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
