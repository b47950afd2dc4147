from typing import Any
from uuid import UUID

import pytest

from dbt_temporal.domain.lineage.events import inputs_of, node_event
from dbt_temporal.domain.lineage.model import Assertion, Dataset, EventType, LineageGraph, LineageNode, ParentRun
from dbt_temporal.domain.lineage.names import attempt_run_id, dataset_namespace, node_job
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import result
from dbt_temporal.testing.builders import INVOCATION_ID, PROJECT, STARTED_AT

NOW = "2026-01-01T06:00:00+00:00"
SERVER = "postgres://db.internal:5432"
GRAPH = LineageGraph(
    SERVER,
    {
        "source.shop.raw.orders": LineageNode("source", "db", "raw", "orders"),
        "seed.shop.countries": LineageNode("seed", "db", "main", "countries"),
        "model.shop.lines": LineageNode("model", "db", "main", None, ("source.shop.raw.orders", "model.shop.more")),
        "model.shop.more": LineageNode("model", "db", "main", None, ("seed.shop.countries",)),
        "model.shop.orders": LineageNode(
            "model", "db", "main", "orders_v2", ("model.shop.lines", "source.shop.raw.orders", "model.shop.gone")
        ),
        "test.shop.not_null_orders_id.1": LineageNode(
            "test", "db", "main", None, ("model.shop.orders",), "model.shop.orders", "not_null_orders_id", "id"
        ),
    },
)


def invocation(command: str = "build") -> DbtInvocation:
    return DbtInvocation(
        invocation_id=INVOCATION_ID,
        project=PROJECT,
        started_at=STARTED_AT,
        input=parse_run_input({"command": command}),
    )


@pytest.mark.parametrize(
    ("adapter_type", "credentials", "namespace"),
    [
        ("postgres", {"host": "db", "port": 5432}, "postgres://db:5432"),
        ("redshift", {"host": "cluster", "port": 5439}, "redshift://cluster:5439"),
        ("duckdb", {"path": "/data/shop.duckdb"}, "duckdb:///data/shop.duckdb"),
        ("duckdb", {"path": "md:shop?motherduck_token=hunter2"}, "duckdb://md:shop"),
        ("snowflake", {"account": "org-account"}, "snowflake://org-account"),
        ("snowflake", {"account": "xy123"}, "snowflake://xy123.us-west-1.aws"),
        ("snowflake", {"account": "xy123.eu-west-1"}, "snowflake://xy123.eu-west-1.aws"),
        ("snowflake", {"account": "xy123.west-europe.azure"}, "snowflake://xy123.west-europe.azure"),
        ("bigquery", {}, "bigquery"),
        ("databricks", {"host": "dbc.example.com"}, "databricks://dbc.example.com"),
        ("athena", {"region_name": "eu-west-1"}, "awsathena://athena.eu-west-1.amazonaws.com"),
        ("postgres", {"port": 5432}, None),
        ("of_somebody", {"host": "h", "port": 1}, None),
    ],
)
def test_datasets_are_named_by_their_server(
    adapter_type: str, credentials: dict[str, Any], namespace: str | None
) -> None:
    assert dataset_namespace(adapter_type, credentials) == namespace


@pytest.mark.parametrize(
    ("unique_id", "command", "job"),
    [
        ("model.shop.orders", "run", "db.main.shop.orders"),
        ("model.shop.orders", "build", "db.main.shop.orders.build.run"),
        ("snapshot.shop.history", "snapshot", "db.main.shop.history.snapshot"),
        ("snapshot.shop.history", "build", "db.main.shop.history.build.snapshot"),
        ("seed.shop.countries", "build", "seed.shop.countries"),
        ("test.shop.not_null_orders_id.1", "test", "test.shop.not_null_orders_id.1"),
    ],
)
def test_jobs_are_named_by_the_node_and_the_command(unique_id: str, command: str, job: str) -> None:
    assert node_job(unique_id, LineageNode("any", "db", "main", "any"), command) == job


def test_ids_of_runs_are_uuids_that_are_the_same_each_time_and_differ_by_attempt() -> None:
    ids = [attempt_run_id(INVOCATION_ID, "model.shop.orders", attempt) for attempt in (None, 1, 2)]
    assert ids == [attempt_run_id(INVOCATION_ID, "model.shop.orders", attempt) for attempt in (None, 1, 2)]
    assert len({UUID(each) for each in ids}) == 3


def test_what_an_ephemeral_model_reads_is_read_by_those_that_use_it() -> None:
    read = {each.name for each in inputs_of(GRAPH, "model.shop.orders")}
    assert read == {"db.raw.orders", "db.main.countries"}


def test_a_node_that_has_ended_tells_what_it_has_read_and_written() -> None:
    ended = result("orders", adapter_response={"rows_affected": 7})
    told = node_event(invocation(), GRAPH, "model.shop.orders", 2, EventType.COMPLETE, NOW, result=ended)
    assert (told.job_type, told.time, told.rows) == ("MODEL", NOW, 7)
    assert told.parent == ParentRun(INVOCATION_ID, "dbt-run-shop")
    assert told.run_id == attempt_run_id(INVOCATION_ID, "model.shop.orders", 2)
    assert told.output == Dataset(SERVER, "db.main.orders_v2")


def test_a_node_that_has_failed_has_written_nothing_that_counts() -> None:
    told = node_event(invocation(), GRAPH, "model.shop.orders", 1, EventType.FAIL, NOW, message="no such column")
    assert (told.output, told.message) == (None, "no such column")
    assert told.inputs


@pytest.mark.parametrize(("status", "success"), [("pass", True), ("warn", False), ("fail", False)])
def test_a_test_tells_what_it_has_found_of_which_dataset(status: str, success: bool) -> None:
    unique_id = "test.shop.not_null_orders_id.1"
    told = node_event(invocation(), GRAPH, unique_id, 1, EventType.COMPLETE, NOW, result=result(unique_id, status))
    assert told.assertion == Assertion(Dataset(SERVER, "db.main.orders_v2"), "not_null_orders_id", success, "id")
    assert told.inputs == (Dataset(SERVER, "db.main.orders_v2"),)
    assert told.output is None


def test_where_the_server_has_no_name_jobs_are_told_without_datasets() -> None:
    told = node_event(invocation(), LineageGraph(None, GRAPH.nodes), "model.shop.orders", 1, EventType.COMPLETE, NOW)
    assert (told.inputs, told.output) == ((), None)
