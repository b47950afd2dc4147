"""Hook workflows written in TypeScript: examples/hooks/typescript, installed by npm as its README says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.workflow.hook_contract import HookContract
from tests.integration.workflow.hook_workers import HookWorker, installed_typescript_example, serving_hooks

pytestmark = pytest.mark.timeout(1800)  # installing takes its time on a busy machine


@pytest.fixture(scope="module")
def hooks(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HookWorker]:
    folder = tmp_path_factory.mktemp("typescript-hooks")
    example = installed_typescript_example(folder)
    with serving_hooks(["npm", "start"], example, folder, temporal_address) as worker:
        yield worker


class TestTypeScriptHooks(HookContract):
    """All of the contract."""

    credentials_activity = "findCredentials"


def test_a_machine_without_node_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match=r"`node` is missing: the TypeScript examples need Node.js 20.3 or newer"):
        installed_typescript_example(tmp_path)
