from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli import main as cli_module
from dbt_temporal.entrypoints.cli.flags import run_input_of
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.cli.reading.words import behind_the_command, spell_out_multi_values


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[DbtRunInput]:
    """Run inputs of the commands that were invoked; nothing is sent anywhere."""
    inputs: list[DbtRunInput] = []

    def submit(command: str, flags: dict[str, Any]) -> None:
        inputs.append(run_input_of(command, flags))

    monkeypatch.setattr(cli_module, "_submit", submit)
    return inputs


def invoke(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(args))
    return result.exit_code, result.output


def input_of(submitted: list[DbtRunInput], *args: str) -> DbtRunInput:
    exit_code, output = invoke(*args)
    assert exit_code == 0, output
    return submitted[-1]


@pytest.mark.parametrize(
    ("args", "spelled"),
    [
        (["--select", "a", "b"], ["--select", "a", "--select", "b"]),
        (["-s", "a", "b", "-x"], ["-s", "a", "-s", "b", "-x"]),
        (["--select=a", "b", "--exclude", "c"], ["--select=a", "--select", "b", "--exclude", "c"]),
        (["-t", "dev", "--select", "a"], ["-t", "dev", "--select", "a"]),
    ],
)
def test_a_multi_value_flag_takes_all_values_up_to_the_next_flag(args: list[str], spelled: list[str]) -> None:
    assert spell_out_multi_values(args) == spelled


@pytest.mark.parametrize(
    "args",
    [
        ["--select", "+a", "tag:b"],
        ["-s", "+a", "-s", "tag:b"],
        ["-m", "+a tag:b"],
        ["--models", "+a", "--select", "tag:b"],
    ],
)
def test_several_selections_are_united(submitted: list[DbtRunInput], args: list[str]) -> None:
    assert input_of(submitted, "build", *args).select == "+a tag:b"


def test_models_of_list_are_a_selection_of_models_alone(submitted: list[DbtRunInput]) -> None:
    run_input = input_of(submitted, "ls", "--models", "+a", "tag:b", "--exclude", "c")
    assert (run_input.select, run_input.resource_types, run_input.exclude) == ("+a tag:b", ["model"], "c")
    assert input_of(submitted, "ls", "-s", "+a").resource_types is None


@pytest.mark.parametrize("other", ["--select", "--resource-type"])
def test_models_of_list_go_with_no_other_way_to_say_the_same(submitted: list[DbtRunInput], other: str) -> None:
    exit_code, output = invoke("list", "--models", "a", other, "model")
    assert exit_code == 2
    assert "give either --models or --" in output
    assert not submitted


@pytest.mark.parametrize(
    ("args", "moved"),
    [
        (["build", "--warn-error"], ["build", "--warn-error"]),
        (["--warn-error", "-d", "build", "-s", "a"], ["build", "--warn-error", "-d", "-s", "a"]),
        (["-t", "prod", "--state=s3://b/x", "run"], ["run", "-t", "prod", "--state=s3://b/x"]),
        (["--log-format", "json", "run"], ["run", "--log-format", "json"]),
        (["--help"], ["--help"]),
        (["--debug"], ["--debug"]),
    ],
)
def test_flags_before_the_command_are_those_of_the_command(args: list[str], moved: list[str]) -> None:
    assert behind_the_command(args) == moved


def test_flags_may_stand_before_the_command_as_with_dbt(submitted: list[DbtRunInput]) -> None:
    run_input = input_of(submitted, "--warn-error", "--target", "prod", "build", "-s", "a")
    assert (run_input.warn_error, run_input.target, run_input.select) == (True, "prod", "a")
    assert input_of(submitted, "--debug", "docs", "--no-print", "generate").debug is True
    assert input_of(submitted, "--debug", "docs", "--no-print", "generate").print is False


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--log-path", "logs", "build"], "--log-path is not given here"),
        (["build", "--version"], "`dbt-temporal --version`"),
        (["run", "-r", "run.profile"], "-r is not given here: it profiles dbt's own process"),
        (["source", "freshness", "--output", "x.json"], "sources.json goes to"),
        (["clean"], "no command 'clean' here: nothing is written"),
        (["init", "shop"], "dbt's own `init`"),
        (["biuld"], "No such command"),
    ],
)
def test_what_dbt_has_and_we_have_not_says_where_to_turn(
    submitted: list[DbtRunInput], args: list[str], said: str
) -> None:
    exit_code, output = invoke(*args)
    assert exit_code == 2
    assert said in " ".join(output.split())
    assert not submitted


def test_dbts_flags_become_the_run_input(submitted: list[DbtRunInput]) -> None:
    args = [
        "run",
        "-s",
        "a",
        "--exclude",
        "b",
        "c",
        "-t",
        "prod",
        "-f",
        "-x",
        "--indirect-selection",
        "CAUTIOUS",
        "--project",
        "shop",
    ]
    args += [
        "--vars",
        "{start: '2026-01-31', n: 3, long: 123456789012345678901234, nested: {a: [1, 2]}}",
        "--env",
        "A=1",
        "--env",
        "B=x=y",
    ]
    args += ["--env-from", "C=env:PROD_PW", "--env-from", "D=file:/run/secrets/pw"]
    args += ["--event-time-start", "2026-01-01", "--event-time-end", "2026-01-02T06:00:00"]
    run_input = input_of(submitted, *args)
    assert json.loads(run_input.model_dump_json(exclude_defaults=True)) == {
        "command": "run",
        "project": "shop",
        "select": "a",
        "exclude": "b c",
        "indirect_selection": "cautious",
        "vars": {"start": "2026-01-31", "n": 3, "long": 123456789012345678901234, "nested": {"a": [1, 2]}},
        "target": "prod",
        "full_refresh": True,
        "fail_fast": True,
        "env": {"A": "1", "B": "x=y", "C": {"from_env": "PROD_PW"}, "D": {"from_file": "/run/secrets/pw"}},
        "event_time_start": "2026-01-01T00:00:00",
        "event_time_end": "2026-01-02T06:00:00",
    }


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["ls"], "list"),
        (["list"], "list"),
        (["source", "freshness"], "source-freshness"),
        (["source-freshness"], "source-freshness"),
        (["source", "snapshot-freshness"], "source-freshness"),
        (["test"], "test"),
        (["retry"], "retry"),
        (["docs", "generate"], "docs-generate"),
        (["run-operation", "greet"], "run-operation"),
        (["debug"], "debug"),
    ],
)
def test_commands_have_dbts_names(submitted: list[DbtRunInput], args: list[str], command: str) -> None:
    assert input_of(submitted, *args).command == command


def test_state_serves_comparison_and_deferral(submitted: list[DbtRunInput], tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    run_input = input_of(submitted, "build", "--state", str(tmp_path), "--defer")
    assert run_input.state_manifest_ref == run_input.defer_manifest_ref == str(manifest)


def test_defer_state_overrides_state_for_deferral_alone(submitted: list[DbtRunInput], tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    args = ["--state", "s3://bucket/last", "--defer", "--defer-state", str(tmp_path)]
    run_input = input_of(submitted, "build", *args)
    assert run_input.state_manifest_ref == "s3://bucket/last/manifest.json"
    assert run_input.defer_manifest_ref == str(tmp_path / "manifest.json")


def test_state_may_be_a_folder_that_has_other_artifacts_alone(submitted: list[DbtRunInput], tmp_path: Path) -> None:
    (tmp_path / "sources.json").write_text("{}")
    run_input = input_of(submitted, "build", "--state", str(tmp_path))
    assert run_input.state_manifest_ref == str(tmp_path / "sources.json")


def test_the_current_sources_are_named_by_a_folder_a_file_or_a_url(
    submitted: list[DbtRunInput], tmp_path: Path
) -> None:
    (tmp_path / "sources.json").write_text("{}")
    assert input_of(submitted, "build", "--sources", str(tmp_path)).sources_ref == str(tmp_path / "sources.json")
    assert input_of(submitted, "build", "--sources", "s3://bucket/now").sources_ref == "s3://bucket/now/sources.json"


def test_state_alone_does_not_defer(submitted: list[DbtRunInput]) -> None:
    run_input = input_of(submitted, "build", "--state", "https://host/manifest.json")
    assert run_input.state_manifest_ref == "https://host/manifest.json"
    assert run_input.defer_manifest_ref is None


def test_retry_from_a_folder_means_its_run_results(submitted: list[DbtRunInput], tmp_path: Path) -> None:
    (tmp_path / "run_results.json").write_text("{}")
    assert input_of(submitted, "build", "--retry-from", str(tmp_path)).retry_from == str(tmp_path / "run_results.json")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--vars", "[1]"], ["--vars", "'[1]'", "{name: value}"]),
        (["--vars", "{a: "], ["--vars", "'{a: '", "not valid YAML"]),
        (["--vars", "{1: a}"], ["--vars", "vars: key 1 is not text; write it in quotes: '1'"]),
        (["--vars", "{grades: {1: a}}"], ["--vars", "vars.grades: key 1 is not text; write it in quotes: '1'"]),
        (["--vars", "{d: [2026-01-31]}"], ["vars.d[0]: a date cannot be sent; write it as text, in quotes: '2026-01"]),
        (["--vars", "{s: !!set {a}}"], ["vars.s: a value of type set cannot be sent"]),
        (["--indirect-selection", "greedy"], ["--indirect-selection", "'greedy'", "'buildable'"]),
        (["--selector", "nightly", "-s", "a"], ["--selector", "--select"]),
        (["--event-time-start", "noon", "--event-time-end", "2026-01-01"], ["--event-time-start", "'noon'"]),
        (["--event-time-start", "2026-01-01"], ["--event-time-start", "--event-time-end"]),
        (["--env", "=x"], ["--env", "letters, digits"]),
        (["--state", "nowhere"], ["--state", "'nowhere'", "manifest.json"]),
        (["--retry-from", "nowhere"], ["--retry-from", "'nowhere'", "run_results.json"]),
        (["--defer"], ["--defer", "--state"]),
        (["--defer-state", "x"], ["--defer-state", "--defer"]),
        (["--wait-for-worker", "-1"], ["--wait-for-worker", "-1"]),
        (["--log-format", "yaml"], ["--log-format", "'yaml'", "'text', 'debug', 'json', 'default'"]),
        (["--log-level", "loud"], ["--log-level", "'loud'", "'debug', 'info', 'warn', 'error', 'none'"]),
        (["--threads", "0"], ["--threads", "0"]),
        (["--profiles-dir", "x"], ["--profiles-dir", "DBT_PROFILES_DIR"]),
        (["--no-use-colors-file"], ["--no-use-colors-file", "no colors"]),
        (["--sample", "{start: 2026-01-01}"], ["--sample", "3 days"]),
        (["--warn-error-options", "x"], ["--warn-error-options", "not a mapping"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_a_wrong_flag_stops_at_the_start_and_says_what_is_allowed(
    submitted: list[DbtRunInput], args: list[str], named: list[str]
) -> None:
    exit_code, output = invoke("build", *args)
    assert exit_code == 2
    assert not submitted
    text = " ".join(output.split())
    for word in named:
        assert word in text


@pytest.mark.parametrize(
    "args",
    [("--env", "hunter2"), ("--env-from", "hunter2"), ("--env-from", "A=hunter2"), ("--env-from", "A=file:hunter2")],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(submitted: list[DbtRunInput], args: tuple[str, ...]) -> None:
    exit_code, output = invoke("build", *args)
    assert exit_code == 2
    assert "hunter2" not in output


def test_full_refresh_is_for_commands_that_have_it_in_dbt(submitted: list[DbtRunInput]) -> None:
    with_it = {name for name, command in cli.commands.items() if "full_refresh" in {p.name for p in command.params}}
    assert with_it - {"compare-engines"} == {"build", "run", "seed", "compile", "show", "clone", "retry"}


@pytest.mark.parametrize("command", ["build", "list", "test"])
def test_help_is_short_enough_for_a_terminal_and_names_every_flag(command: str) -> None:
    exit_code, output = invoke(command, "-h")
    assert exit_code == 0
    for parameter in cli.commands[command].params:
        assert isinstance(parameter, click.Option)
        assert parameter.hidden or parameter.opts[-1] in output


def test_version_names_dbt_its_adapters_and_the_sdk() -> None:
    exit_code, output = invoke("--version")
    assert exit_code == 0
    names = [line.split()[0] for line in output.splitlines()]
    assert names[:2] == ["dbt-temporal", "dbt-core"]
    assert "dbt-duckdb" in names
    assert names[-1] == "temporalio"


@pytest.mark.parametrize("command", ["frobnicate", "dev", "", "'"])
def test_dev_runs_our_commands_alone(command: str) -> None:
    exit_code, output = invoke("dev", "--run", command)
    assert exit_code == 2
    assert "--run" in output


def test_keep_needs_a_command_to_run() -> None:
    exit_code, output = invoke("dev", "--keep")
    assert exit_code == 2
    assert "--run" in output


def test_retry_takes_an_invocation_id_a_place_or_a_workflow_id(submitted: list[DbtRunInput], tmp_path: Path) -> None:
    results = tmp_path / "run_results.json"
    results.write_text("{}")
    invocation = "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a11"
    assert input_of(submitted, "retry", invocation).retry_from == invocation
    assert input_of(submitted, "retry", str(tmp_path)).retry_from == str(results)
    assert input_of(submitted, "retry", "dbt-build-shop-1").retry_from is None, "the server knows it"


@pytest.mark.parametrize("name", ["latest", "latest:prod", "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a11"])
def test_earlier_runs_have_names_that_the_worker_finds(submitted: list[DbtRunInput], name: str) -> None:
    run_input = input_of(submitted, "build", "--state", name, "--defer")
    assert (run_input.state_manifest_ref, run_input.defer_manifest_ref) == (name, name)
    assert input_of(submitted, "build", "--defer", "--defer-state", name).defer_manifest_ref == name
