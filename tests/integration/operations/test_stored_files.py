"""What a run has left in the store, asked for at a terminal; against a real server."""

from __future__ import annotations

import asyncio
import io
import webbrowser
from pathlib import Path

import pytest
from rich.console import Console

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.report_page.page import html_page
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.operators.newest import named_run
from dbt_temporal.entrypoints.cli.operators.runs import connected
from dbt_temporal.entrypoints.cli.operators.stored import show_report, show_sql
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

A = "model.shop.a"


@pytest.fixture
def target(runs: RunHarness, temporal_address: str, tmp_path: Path) -> Target:
    runs.store = FsspecArtifactStore(str(tmp_path / "store"))  # type: ignore[assignment]
    runs.write_artifacts = True
    runs.report_page = html_page
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    connection = ConnectionSettings(address=temporal_address, task_queue=runs.task_queue)
    return Target(connection, TracingSettings(), {}, None)


class Shown(Console):
    """A terminal whose text can be read."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        super().__init__(file=self.stream, width=200, highlight=False)

    @property
    def text(self) -> str:
        return self.stream.getvalue()


async def is_listed(target: Target, workflow_id: str) -> None:
    """Waits until visibility has a run as the newest one."""
    client = await connected(target)

    async def is_newest() -> bool:
        try:
            return await named_run(client, target, None, None) == workflow_id
        except DbtTemporalError:
            return False

    await wait_for(is_newest, what="visibility has the run")


async def test_the_report_of_a_run_is_found_opened_and_copied(
    runs: RunHarness, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, "no", retryable=False)]
    run = await runs.submit()
    await run.outcome()
    stored = tmp_path / "store" / await runs.gateway.invocation_id(run.workflow_id) / "report.html"
    shown = Shown()
    assert await show_report(target, run.workflow_id, None, False, None, shown) == 0
    assert shown.text == f"{stored}\n"
    opened: list[str] = []

    def open_page(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", open_page)
    await is_listed(target, run.workflow_id)
    copy = tmp_path / "copy.html"
    assert await show_report(target, None, None, True, copy, Shown()) == 0
    assert copy.read_bytes() == stored.read_bytes()
    await show_report(target, None, None, True, None, Shown())
    assert opened == [copy.as_uri(), stored.as_uri()]


async def test_a_report_that_is_not_there_is_told_with_the_reason(
    runs: RunHarness, target: Target, tmp_path: Path
) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    with pytest.raises(DbtTemporalError, match=r"there is no report of .*: it is made when the run ends"):
        await show_report(target, run.workflow_id, None, False, None, Shown())
    runs.engine.gates[A].set()
    await run.outcome()
    with pytest.raises(DbtTemporalError, match="cannot be written: No such file or directory"):
        await show_report(target, run.workflow_id, None, False, tmp_path / "nowhere" / "report.html", Shown())
    with pytest.raises(DbtTemporalError, match="there is no run 'nobody'; `dbt-temporal runs` lists"):
        await show_report(target, "nobody", None, False, None, Shown())


async def test_the_sql_of_a_run_is_found_and_unpacked_as_in_dbts_target_folder(
    runs: RunHarness, target: Target, tmp_path: Path
) -> None:
    runs.write_sql = True
    runs.engine.sql = {"compiled/shop/models/a.sql": "select 1", "run/shop/models/a.sql": "create view a as (select 1)"}
    run = await runs.submit()
    outcome = await run.outcome()
    assert outcome.output is not None
    assert outcome.output.artifacts is not None
    shown = Shown()
    assert await show_sql(target, run.workflow_id, None, None, shown) == 0
    assert shown.text == f"{outcome.output.artifacts.sql_path}\n"
    assert await show_sql(target, run.workflow_id, None, tmp_path / "target", Shown()) == 0
    found = {name: (tmp_path / "target" / name).read_text() for name in runs.engine.sql}
    assert found == runs.engine.sql
    (tmp_path / "file").write_text("")
    with pytest.raises(DbtTemporalError, match=r"sql\.zip cannot be unpacked to .*file: "):
        await show_sql(target, run.workflow_id, None, tmp_path / "file", Shown())
    runs.engine.sql = {}
    run = await runs.submit()
    await run.outcome()
    with pytest.raises(DbtTemporalError, match=r"there is no SQL of .*: it was not stored \(WRITE_SQL\), or is gone"):
        await show_sql(target, run.workflow_id, None, None, Shown())


async def test_a_run_without_artifacts_has_nothing_to_show(runs: RunHarness, target: Target) -> None:
    runs.write_artifacts = False
    run = await runs.submit()
    await run.outcome()
    with pytest.raises(DbtTemporalError, match=r"keeps no artifacts: its worker writes none \(WRITE_ARTIFACTS\)"):
        await show_report(target, run.workflow_id, None, False, None, Shown())
