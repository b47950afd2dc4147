"""Each flag that takes effect in a run does so as on the command line: the same cases by both, flag by flag."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.commands import COMMANDS, commands_with
from dbt_temporal.domain.run.flags import FLAGS as INPUT_FLAGS
from dbt_temporal.domain.run.invocation import DbtInvocation
from tests.integration.engine_driver import drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import read_json, run_cli
from tests.integration.flags.cases import CASES, DEMANDING, FILES, GROUPS, Case, Seen, tabled
from tests.integration.flags.flag_table import FLAGS

pytestmark = pytest.mark.every_dbt_version

_FORKS = """\
import json, os, sys
from dbt.cli.main import dbtRunner
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for line in sys.stdin:
    case = json.loads(line)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.chdir(case["project"])
        os.environ.update(case["env"])
        sys.argv = ["dbt", *case["arguments"]]
        ended = dbtRunner().invoke(case["arguments"])
        listed = ended.result if isinstance(ended.result, list) else []
        os.write(writer, json.dumps({"listed": listed, "problem": str(ended.exception or "")}).encode())
        os._exit(0)
    os.wait()
    print(os.read(reader, 65536).decode(), file=answers, flush=True)
"""
"""dbt's command line, which is imported once, and forked for each command that stands in a line of the input."""


SHOWN_ELSEWHERE = {
    *("single_threaded", "exclude", "fail_fast", "select", "selector", "target", "vars"),
    *("args", "compile", "connection", "empty_catalog", "inline", "limit", "macro", "output", "output_keys", "sql"),
    "static",
}
"""Below, by test_resolved_flags.py, test_cli_equality.py and the tests of the contract."""


def test_each_flag_with_an_effect_has_a_case() -> None:
    shown = {name for case in CASES.values() for name in case.looks} | SHOWN_ELSEWHERE
    assert {name for name, flag in FLAGS.items() if flag.group == "effect"} - shown == set()


@pytest.mark.timeout(900)  # a command for each case, and another by dbt
@pytest.mark.parametrize("group", GROUPS)
async def test_flags_take_effect_as_on_the_command_line(tmp_path: Path, group: str) -> None:
    write_files(tmp_path / "project", FILES)
    write_files(tmp_path / "demanding", {**FILES, "dbt_project.yml": DEMANDING})
    cases = GROUPS[group]
    ours, theirs = await _ours(tmp_path, cases), _theirs(tmp_path, cases)
    seen = [(name, flag) for name, case in cases.items() for flag in case.looks]
    assert {key: ours[key] for key in seen} == {key: theirs[key] for key in seen}
    assert [(name, flag) for name, flag in seen if theirs[name, flag] == theirs[f"beside {name}", flag]] == []


Cases = Mapping[str, Case]
Values = dict[tuple[str, str], Any]


def _look(values: Values, name: str, seen: Seen, cases: Cases) -> None:
    """Looks at a case that has just ended, and for those beside which it is."""
    for other, case in cases.items():
        for flag, look in case.looks.items():
            if other == name:
                values[name, flag] = look(seen)
            elif case.beside == name:
                values[f"beside {other}", flag] = look(seen)


def _fields(case: Case) -> dict[str, Any]:
    """The case's flags that are fields of the run's input."""
    texts = {_flag(variable): text for variable, text in case.env.items()}
    for word, value in zip_longest(case.words, case.words[1:], fillvalue="true"):
        if word.startswith("--"):
            off = word.startswith("--no-")
            texts[word.removeprefix("--no-").lstrip("-").replace("-", "_")] = "false" if off else value
    fields = {name: yaml.safe_load(text) for name, text in texts.items() if name in INPUT_FLAGS}
    fields = {name: value for name, value in fields.items() if case.command in (commands_with(name) or COMMANDS)}
    for name in ("resource_types", "exclude_resource_types"):
        if name in fields:
            fields[name] = fields[name].split()
    if "sample" in fields:
        fields["sample"] = {name: str(value) for name, value in fields["sample"].items()}
    return fields


def _flag(variable: str) -> str:
    return variable.removeprefix("DBT_").removeprefix("ENGINE_").lower()


def _variables(folder: Path, case: Case, without: Mapping[str, Any] | None = None) -> dict[str, str]:
    """A blank variable is none; with the same names in all cases our parse begins with that of the first one."""
    blank = {key: "" for other in CASES.values() for key in other.env}
    given = {key: value.replace("{state}", str(folder / "plain")) for key, value in case.env.items()}
    given = {key: value for key, value in given.items() if _flag(key) not in (without or {})}
    return {"FLAGS_DB": str(folder / "flags.duckdb"), **blank, **given}


async def _ours(tmp_path: Path, cases: Cases) -> Values:
    values: Values = {}
    folder = tmp_path / "ours"
    folder.mkdir()
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path / "cache", environ=environ) as engine:
        for name, case in cases.items():
            project = tmp_path / case.project
            exclude = "micro" if case.command == "build" else None
            run_input = {"command": case.command, "select": case.select, "exclude": exclude}
            fields = _fields(case)
            env = _variables(folder, case, without=fields)
            invocation = new_invocation(env=env, **run_input, **fields)
            seen = await _our_case(engine, folder / name, ProjectLocation(project, project), invocation)
            _look(values, name, seen, cases)
    return values


async def _our_case(engine: DbtCoreEngine, folder: Path, location: ProjectLocation, invocation: DbtInvocation) -> Seen:
    database = folder.parent / "flags.duckdb"
    try:
        run = await drive(engine, location, invocation)
    except DbtTemporalError as error:
        return Seen(database, {}, "", [], error.message)
    write_files(folder, {name: text.decode() for name, text in run.artifacts.items()})
    results = run.output.node_results
    listed = [str(result.message) for result in results if invocation.input.command == "list"]
    problem = "".join(str(result.message) for result in results if result.status == "error")
    log = "\n".join(outcome.log for outcome in run.outcomes.values())
    return Seen(database, run.artifacts, log, listed, problem)


def _theirs(tmp_path: Path, cases: Cases) -> Values:
    values: Values = {}
    folder = tmp_path / "theirs"
    folder.mkdir()
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    command = [sys.executable, "-c", _FORKS]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forks:
        assert forks.stdin is not None
        assert forks.stdout is not None
        for name, case in cases.items():
            line = json.dumps(_command(tmp_path, name, case))
            print(line, file=forks.stdin, flush=True)
            answer = json.loads(forks.stdout.readline())
            target = tmp_path / case.project / case.env.get("DBT_TARGET_PATH", folder / name)
            files = {path.name: path.read_bytes() for path in target.glob("*.json")}
            log = (folder / name / "dbt.log").read_text()
            _look(values, name, Seen(folder / "flags.duckdb", files, log, answer["listed"], answer["problem"]), cases)
    return values


def _command(tmp_path: Path, name: str, case: Case) -> dict[str, Any]:
    project, target, kept = tmp_path / case.project, tmp_path / "theirs" / name, tmp_path / "theirs" / "plain"
    target.mkdir()
    if name != "plain" and case.project == "project" and not case.words:
        shutil.copyfile(kept / "partial_parse.msgpack", target / "partial_parse.msgpack")  # spares it a parse
    places = {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target), "DBT_PROFILES_DIR": str(project)}
    selection = ["--select", case.select] if case.select else []
    exclusion = ["--exclude", "micro"] if case.command == "build" else []
    return {
        "project": str(project),
        "arguments": [case.command, *selection, *exclusion, *case.words],
        "env": places | {key: value for key, value in _variables(tmp_path / "theirs", case).items() if value},
    }


async def test_without_threads_nodes_run_one_after_the_other_on_the_main_thread(tmp_path: Path) -> None:
    """By `compile`: on commands that create schemas dbt closes its own connection without threads, here as there."""
    write_files(tmp_path / "project", FILES)
    location = ProjectLocation(tmp_path / "project", tmp_path / "project")
    env = {"FLAGS_DB": str(tmp_path / "flags.duckdb"), **tabled("single_threaded")}
    async with open_engine(tmp_path / "cache") as engine:
        invocation = new_invocation(command="compile", select="one warns", env=env)
        ours = await drive(engine, location, invocation)
    run_cli(["compile", "--select", "one warns"], tmp_path / "project", tmp_path / "target", env)
    for document in (json.loads(ours.artifacts["run_results.json"]), read_json(tmp_path / "target/run_results.json")):
        assert {result["thread_id"] for result in document["results"]} == {"MainThread"}
    assert ours.plan.threads == 1
