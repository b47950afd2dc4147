from __future__ import annotations

from pathlib import Path

import pytest

from dbt_temporal.adapters.project_config_file import read_project_config, read_project_name
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.project_config import ProjectConfig


def test_a_project_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert read_project_config(tmp_path) == ProjectConfig()


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "dbt_temporal.yml").write_text("# nothing yet\n")
    assert read_project_config(tmp_path) == ProjectConfig()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: shop\nvars: {'{{ 1 }}': 2}\n", "shop"),
        ("name: \"{{ env_var('SHOP') }}\"\n", None),
        ("name: [shop\n", None),
        ("- name\n", None),
        ("name: 7\n", None),
        (None, None),
    ],
)
def test_a_projects_name_is_read_without_dbt_where_that_is_possible(
    tmp_path: Path, text: str | None, name: str | None
) -> None:
    if text is not None:
        (tmp_path / "dbt_project.yml").write_text(text)
    assert read_project_name(tmp_path) == name


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "dbt_temporal.yml").write_text("retry:\n  max_attempts: 5\n")
    assert read_project_config(tmp_path).retry.max_attempts == 5


@pytest.mark.parametrize(
    ("text", "per", "if_taken"),
    [
        ("concurrency: relation", "relation", "wait"),
        ("concurrency: none", "none", "wait"),
        ("concurrency:", "none", "wait"),
        ("concurrency: {per: project, if_taken: skip}", "project", "skip"),
    ],
)
def test_concurrency_is_one_word_or_says_more(tmp_path: Path, text: str, per: str, if_taken: str) -> None:
    (tmp_path / "dbt_temporal.yml").write_text(text)
    concurrency = read_project_config(tmp_path).concurrency
    assert (concurrency.per, concurrency.if_taken, concurrency.wait_secs) == (per, if_taken, None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"retry:\n  max_attempts: [1\n", "line 3, column 1: is not valid YAML"),
        (
            b"retires: {}\n",
            "unknown field `retires` (allowed: breaker, concurrency, engine, hold_secs, hooks, retry, run_hosts,",
        ),
        (
            b"retry:\n  attempts: 5\n",
            "unknown field `retry.attempts` (allowed: backoff_coefficient, initial_interval_secs,",
        ),
        (
            b"hooks: {pre_run: [{workflow_type: a, task_queue: b, on_eror: fail}]}\n",
            "unknown field `hooks.pre_run.0.on_eror` (allowed: fire_and_forget, input, on_error, task_queue,",
        ),
        (b"hooks: {pre_run: [{workflow_type: a}]}\n", "`hooks.pre_run.0.task_queue`: Field required"),
        (b"hooks: {on_success: {}}\n", "`hooks.on_success`: Input should be a valid list"),
        (b"retry: {max_attempts: 0}\n", "`retry.max_attempts`: Input should be greater than or equal to 1"),
        (b"retry: {max_attempts: three}\n", "`retry.max_attempts`: Input should be a valid integer"),
        (b"retry: {non_retryable_errors: ['(']}\n", "`retry.non_retryable_errors`: '(' is not a regular expression"),
        (b"retry: {max_interval_secs: 1}\n", "max_interval_secs must be at least initial_interval_secs"),
        (b"timeouts: {plan_secs: -1}\n", "`timeouts.plan_secs`: Input should be greater than or equal to 0.001"),
        (b"timeouts: {node_secs: 60, node_heartbeat_secs: 60}\n", "node_heartbeat_secs can never fire"),
        (b"concurrency: table\n", "`concurrency.per`: Input should be 'none', 'target', 'project' or 'relation'"),
        (b"concurrency: {if_taken: queue}\n", "`concurrency.if_taken`: Input should be 'wait', 'skip' or 'fail'"),
        (
            b"concurrency: {per: target, wait: 5}\n",
            "unknown field `concurrency.wait` (allowed: if_taken, per, wait_secs)",
        ),
        (
            b"concurrency: {per: target, wait_secs: 0}\n",
            "`concurrency.wait_secs`: Input should be greater than or equal",
        ),
        (
            b"concurrency: {per: target, if_taken: skip, wait_secs: 5}\n",
            "`concurrency`: wait_secs is for if_taken: wait; with skip nothing waits",
        ),
        (b"a: \xff\n", "is not UTF-8 text"),
        (b"- 1\n", "must be a mapping, got list"),
    ],
)
def test_a_bad_file_is_told_with_its_place_and_what_is_wrong(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "dbt_temporal.yml"
    path.write_bytes(content)
    with pytest.raises(DbtTemporalError) as caught:
        read_project_config(tmp_path)
    assert str(path) in caught.value.message
    assert problem in caught.value.message
