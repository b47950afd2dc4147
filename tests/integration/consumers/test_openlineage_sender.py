"""Events reach a real server by OpenLineage's client, by the variables of a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbt_temporal.adapters.openlineage import sender as sender_module
from dbt_temporal.adapters.openlineage.sender import OpenLineageSender
from dbt_temporal.adapters.openlineage.start import start_lineage
from dbt_temporal.domain.lineage.model import Assertion, Dataset, EventType, LineageEvent, ParentRun
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.consumers.collector import Collector, collecting
from tests.integration.programs import eventually

RUN = "6e2f0d3c-0000-4000-8000-000000000001"
ORDERS = Dataset("postgres://db:5432", "shop.main.orders")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as server:
        yield server


def started(**variables: str) -> OpenLineageSender:
    """A sender as a worker with these variables has it."""
    sender = start_lineage(read_settings(variables).lineage)
    assert sender is not None
    return sender


def event(job: str, event_type: EventType = EventType.START) -> LineageEvent:
    return LineageEvent(event_type, "2026-01-01T06:00:00+00:00", RUN, job, "MODEL")


@pytest.mark.parametrize(
    "variables",
    [
        {"OPENLINEAGE__TRANSPORT__TYPE": "http", "OPENLINEAGE__TRANSPORT__URL": "URL"},
        {"OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "URL"}'},
    ],
)
async def test_events_go_where_variables_of_openlineages_client_say(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    variables = {name: value.replace("URL", collector.url) for name, value in variables.items()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    sender = started(**variables)
    sender.send(event("model.shop.a"))
    await asyncio.to_thread(sender.close)
    assert [told["job"]["name"] for told in collector.events] == ["model.shop.a"]


async def test_an_event_has_what_is_known_in_openlineages_form(collector: Collector) -> None:
    sender = started(
        OPENLINEAGE_URL=collector.url,
        OPENLINEAGE_ENDPOINT="api/v2/events",
        OPENLINEAGE_API_KEY="hunter2",
        OPENLINEAGE_NAMESPACE="shops",
        OPENLINEAGE_DISABLED="false",
    )
    sender.send(
        LineageEvent(
            type=EventType.FAIL,
            time="2026-01-01T06:00:00+00:00",
            run_id=RUN,
            job="test.shop.not_null_orders_id",
            job_type="TEST",
            parent=ParentRun(RUN, "dbt-run-shop"),
            inputs=(ORDERS,),
            output=Dataset("postgres://db:5432", "shop.main.more"),
            rows=3,
            assertion=Assertion(ORDERS, "not_null", success=False, column="id"),
            message="Got 3 results",
        )
    )
    await asyncio.to_thread(sender.close)
    (sent,) = collector.events
    assert (collector.paths, collector.keys) == ({"/api/v2/events"}, {"Bearer hunter2"})
    assert (sent["eventType"], sent["eventTime"], sent["run"]["runId"]) == ("FAIL", "2026-01-01T06:00:00+00:00", RUN)
    assert (sent["job"]["namespace"], sent["job"]["name"]) == ("shops", "test.shop.not_null_orders_id")
    assert sent["job"]["facets"]["jobType"]["jobType"] == "TEST"
    assert "sourceCodeLocation" not in sent["job"]["facets"]
    parent = sent["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["job"]["namespace"]) == (RUN, "shops")
    assert parent["job"]["name"] == "dbt-run-shop"
    assert sent["run"]["facets"]["errorMessage"]["message"] == "Got 3 results"
    (read,) = sent["inputs"]
    assert (read["namespace"], read["name"]) == (ORDERS.namespace, ORDERS.name)
    (found,) = read["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (found["assertion"], found["success"], found["column"]) == ("not_null", False, "id")
    assert sent["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3


async def test_a_file_says_where_events_go(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "openlineage.yml"
    file.write_text(f"transport:\n  type: http\n  url: {collector.url}\n")
    sender = started(OPENLINEAGE_CONFIG=str(file))
    sender.send(event("a"))
    await asyncio.to_thread(sender.close)
    assert (collector.told(), collector.paths) == ([("a", "START")], {"/api/v1/lineage"})
    assert collector.events[0]["job"]["namespace"] == "dbt"


async def test_nobody_waits_for_a_server_that_does_not_answer_and_the_order_stays(collector: Collector) -> None:
    collector.gate.clear()
    sender = started(OPENLINEAGE_URL=collector.url)
    for job in ("a", "b", "c"):
        sender.send(event(job))
    eventually(lambda: collector.asked == 1, lambda: "the first one is sent")
    assert collector.events == []
    collector.gate.set()
    await asyncio.to_thread(sender.close)
    assert [job for job, _ in collector.told()] == ["a", "b", "c"]


async def test_what_a_server_cannot_take_now_is_sent_again(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender_module, "FIRST_PAUSE_SECS", 0.01)
    caplog.set_level(logging.INFO)
    collector.answers += [429, 429]
    sender = started(OPENLINEAGE_URL=collector.url)
    sender.send(event("a"))
    sender.send(event("b"))
    eventually(lambda: len(collector.events) == 2, lambda: str(collector))
    assert [job for job, _ in collector.told()] == ["a", "b"]
    assert caplog.text.count("OpenLineage is away") == 1
    await asyncio.to_thread(sender.close)
    assert "OpenLineage is back" in caplog.text


async def test_what_a_server_refuses_is_told_and_left_out(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers += [422]
    sender = started(OPENLINEAGE_URL=collector.url)
    sender.send(event("a"))
    sender.send(event("b"))
    await asyncio.to_thread(sender.close)
    assert [job for job, _ in collector.told()] == ["b"]
    assert "events of OpenLineage are lost (1 so far)" in caplog.text


async def test_the_end_of_a_worker_waits_for_what_a_transport_sends_by_itself(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "openlineage.yml"
    file.write_text(f"transport:\n  type: async_http\n  url: {collector.url}\n")
    sender = started(OPENLINEAGE_CONFIG=str(file))
    sender.send(event("a"))
    await asyncio.to_thread(sender.close)
    assert collector.told() == [("a", "START")]
    assert "not sent" not in caplog.text

    collector.gate.clear()
    sender = started(OPENLINEAGE_CONFIG=str(file))
    sender.send(event("b"))
    eventually(lambda: collector.asked == 2, lambda: "it is sent")
    await asyncio.to_thread(sender.close, 0.0)
    assert "what OpenLineage's client had taken was not sent" in caplog.text


async def test_a_password_in_the_address_is_not_in_the_log(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers += [422]
    sender = started(OPENLINEAGE_URL=collector.url.replace("://", "://reader:hunter2@"))
    sender.send(event("a"))
    await asyncio.to_thread(sender.close)
    assert "://***@127.0.0.1" in caplog.text
    assert "hunter2" not in caplog.text


async def test_the_end_of_a_worker_does_not_wait_for_a_server_that_hangs(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.gate.clear()
    sender = started(OPENLINEAGE_URL=collector.url)
    sender.send(event("a"))
    eventually(lambda: collector.asked == 1, lambda: "it is sent")
    await asyncio.to_thread(sender.close, 0.0)
    assert "1 events of OpenLineage were not sent" in caplog.text
