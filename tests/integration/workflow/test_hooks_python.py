"""Hook workflows written in Python: examples/hooks/python, as a worker process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.workflow.hook_contract import HookContract, children, output_of
from tests.integration.workflow.hook_workers import EXAMPLES, HookWorker, python_example_command, serving_hooks


@pytest.fixture(scope="module")
def hooks(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HookWorker]:
    folder = tmp_path_factory.mktemp("python-hooks")
    with serving_hooks(python_example_command(), EXAMPLES / "python", folder, temporal_address) as worker:
        yield worker


class TestPythonHooks(HookContract):
    """All of the contract."""


async def test_dbt_run_itself_can_be_a_hook_and_does_not_recurse(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    first = {"command": "seed", "hooks": {}}
    runs.config |= {"hooks": {"pre_run": [{"workflow_type": "dbt_run", "task_queue": runs.task_queue, "input": first}]}}
    run = await runs.submit({"command": "run"})
    assert output_of(await run.outcome()).success
    (child,) = await children(runs.client, run)
    assert (await child.result())["success"] is True
    assert [(each.input.command, each.input.hooks is None) for each in runs.engine.planned] == [
        ("run", True),
        ("seed", False),
    ]
