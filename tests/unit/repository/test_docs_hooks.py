"""docs/hooks.md and examples/hooks say what is so: their examples are read by the code that reads them in a run."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from dbt_temporal.domain.failed_nodes import FailedNode
from dbt_temporal.domain.hooks import (
    HookConfig,
    HookError,
    HookErrorPolicy,
    HookEvent,
    HooksConfig,
    PreRunAnswer,
    read_pre_run_answer,
)
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.results import ArtifactPaths, DbtRunOutput, Freshness, NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.domain.run.plan import ExecutionPlan, NodeInfo
from tests.unit.repository.doc_pages import ROOT, Page

PAGE = Page("docs/hooks.md")
EXAMPLES = ROOT / "examples" / "hooks"
README = Page("examples/hooks/README.md")
CONTRACT_TS = (EXAMPLES / "typescript" / "src" / "contract.ts").read_text()

INTERFACE = re.compile(r"^export interface (?P<name>\w+) \{\n(?P<body>.*?)^\}$", re.MULTILINE | re.DOTALL)
OF_OUR_OWN = {
    "relation",
    "overrides",
    "unreported",
    "batched",
    "listing",
    "batch",
    "batches",
    "failed_ephemerals",
    "times",
    "messages",
}
"""Fields of nodes that are sent, but are no part of what hook workflows may rely on."""


def without_own_fields(plan: dict[str, Any]) -> dict[str, Any]:
    nodes = {
        unique_id: {key: value for key, value in node.items() if key not in OF_OUR_OWN}
        for unique_id, node in plan["nodes"].items()
    }
    return plan | {"nodes": nodes}


def test_every_example_is_of_a_kind_that_a_test_reads() -> None:
    assert PAGE.kinds == {
        ("json", "answer: adds env"),
        ("json", "answer: continues"),
        ("json", "answer: skips"),
        ("json", "hook errors"),
        ("json", "payload"),
        ("json", "run input"),
        ("python", None),
        ("python", "hook by Nexus"),
        ("yaml", "dbt_temporal.yml"),
        ("yaml", "profiles.yml"),
    }


@pytest.mark.parametrize("text", PAGE.blocks("yaml", "dbt_temporal.yml"))
def test_each_dbt_temporal_yml_is_accepted_and_has_hooks(text: str) -> None:
    hooks = parse_project_config(yaml.safe_load(text), "docs/hooks.md").hooks
    assert hooks.pre_run or hooks.on_success or hooks.on_failure


@pytest.mark.parametrize("text", PAGE.blocks("yaml", "dbt_temporal.yml"))
def test_an_input_for_dbt_run_is_one_that_it_accepts_and_does_not_recurse(text: str) -> None:
    hooks = parse_project_config(yaml.safe_load(text), "docs/hooks.md").hooks
    for hook in [*hooks.pre_run, *hooks.on_success, *hooks.on_failure]:
        if hook.workflow_type == "dbt_run":
            assert parse_run_input(hook.input).hooks == HooksConfig()


def test_the_profile_uses_the_variables_that_the_answer_adds() -> None:
    (answer,) = PAGE.json_blocks("answer: adds env")
    (profile,) = PAGE.blocks("yaml", "profiles.yml")
    assert yaml.safe_load(profile)["my_profile"]["outputs"]["prod"]["type"] == "snowflake"
    assert set(re.findall(r"env_var\('(\w+)'", profile)) == set(answer["extra_env"])


@pytest.mark.parametrize("run_input", PAGE.json_blocks("run input"))
def test_each_run_input_is_accepted_and_replaces_the_hooks(run_input: dict[str, Any]) -> None:
    assert parse_run_input(run_input).hooks is not None


def test_the_payload_has_every_field_that_is_sent() -> None:
    (payload,) = PAGE.json_blocks("payload")
    assert list(payload) == ["event", "invocation_id", "input", "plan", "output"]
    assert payload["event"] in get_args(HookEvent)
    assert parse_run_input(payload["input"]).model_dump(mode="json") == payload["input"]
    assert set(payload["input"]["env"].values()) == {"***"}
    plan = ExecutionPlan.model_validate(payload["plan"])
    assert without_own_fields(plan.model_dump(mode="json")) == payload["plan"]
    assert DbtRunOutput.model_validate(payload["output"]).model_dump(mode="json") == payload["output"]


def test_the_payload_is_consistent() -> None:
    (payload,) = PAGE.json_blocks("payload")
    ids = {payload["invocation_id"], payload["plan"]["invocation_id"], payload["output"]["invocation_id"]}
    assert len(ids) == 1
    planned = {unique_id for level in payload["plan"]["levels"] for unique_id in level}
    assert planned == set(payload["plan"]["nodes"])
    assert planned == {result["unique_id"] for result in payload["output"]["node_results"]}


def test_the_answers_mean_what_the_page_says() -> None:
    skipping = [read_pre_run_answer(answer) for answer in PAGE.json_blocks("answer: skips")]
    assert [answer.skip for answer in skipping] == [True] * 3
    assert [answer.skip_reason for answer in skipping] == ["no new data since yesterday", None, None]
    (adds,) = PAGE.json_blocks("answer: adds env")
    assert read_pre_run_answer(adds) == PreRunAnswer(extra_env=adds["extra_env"])
    continuing = [read_pre_run_answer(answer) for answer in PAGE.json_blocks("answer: continues")]
    assert continuing == [PreRunAnswer()] * 2


def test_the_hook_errors_are_those_of_the_output() -> None:
    (errors,) = PAGE.json_blocks("hook errors")
    read = TypeAdapter(list[HookError]).validate_python(errors)
    assert [each.model_dump(mode="json") for each in read] == errors


async def test_the_python_hook_reads_the_payload() -> None:
    (payload,) = PAGE.json_blocks("payload")
    (code,) = PAGE.blocks("python", None)
    names: dict[str, Any] = {"__name__": "docs"}
    exec(code, names)
    assert await names["Summarize"]().run(payload) == "2 nodes, failed: model.shop.customers"


def test_the_table_of_fields_has_all_fields_with_their_defaults() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|([^|]*)\|", PAGE.text.split("| field | default |")[1].split("\n\n")[0], re.MULTILINE
    )
    stated = {name: default.strip(" `") for name, default in rows}
    assert stated == {
        "workflow_type": "required",
        "task_queue": "required",
        "timeout_secs": f"{HookConfig.model_fields['timeout_secs'].default:g}",
        "on_error": HookConfig.model_fields["on_error"].default,
        "input": "",
        "fire_and_forget": str(HookConfig.model_fields["fire_and_forget"].default).lower(),
    }


@pytest.mark.parametrize("word", [*get_args(HookEvent), *get_args(HookErrorPolicy)])
def test_every_event_and_policy_is_explained(word: str) -> None:
    assert f"| `{word}` |" in PAGE.text


@pytest.mark.parametrize("page", [PAGE, README], ids=lambda page: page.path.name)
def test_every_linked_file_exists(page: Page) -> None:
    assert page.broken_links() == []


def test_the_sample_configuration_wires_every_hook_of_the_examples() -> None:
    sample = yaml.safe_load((EXAMPLES / "dbt_temporal.yml").read_text())
    hooks = parse_project_config(sample, "examples/hooks/dbt_temporal.yml").hooks
    wired = {hook.workflow_type for hook in [*hooks.pre_run, *hooks.on_success, *hooks.on_failure]}
    python = set(re.findall(r'workflow\.defn\(name="(\w+)"\)', (EXAMPLES / "python" / "hooks.py").read_text()))
    typescript = set(
        re.findall(r"export async function (\w+)", (EXAMPLES / "typescript" / "src" / "workflows.ts").read_text())
    )
    in_readme = set(re.findall(r"^\| `(\w+)` \|", README.text, re.MULTILINE))
    assert wired == python == typescript == in_readme


@pytest.mark.parametrize(
    "model",
    [
        DbtRunInput,
        HooksConfig,
        HookConfig,
        ExecutionPlan,
        NodeInfo,
        DbtRunOutput,
        NodeExecutionResult,
        Freshness,
        ArtifactPaths,
        HookError,
        FailedNode,
    ],
)
def test_the_typescript_types_have_the_fields_of_the_models(model: type[BaseModel]) -> None:
    bodies = {found["name"]: found["body"] for found in INTERFACE.finditer(CONTRACT_TS)}
    fields = set(re.findall(r"^  (\w+)\??:", bodies[model.__name__], re.MULTILINE))
    assert fields == set(model.model_fields) - OF_OUR_OWN


def test_the_npm_packages_have_exact_versions_and_no_lock_file() -> None:
    package = json.loads((EXAMPLES / "typescript" / "package.json").read_text())
    versions = package["dependencies"] | package["devDependencies"]
    assert {name: version for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == {}
    assert not (EXAMPLES / "typescript" / "package-lock.json").exists()
