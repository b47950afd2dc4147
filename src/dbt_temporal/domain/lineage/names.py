"""What jobs, runs and datasets are called: as OpenLineage's own integration of dbt calls them, where that has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from dbt_temporal.domain.lineage.model import LineageNode

CREDENTIALS = ("host", "port", "account", "path", "region_name")
"""What of a target's credentials namespaces are made of; none of it is a secret."""
_SERVERS = frozenset({"postgres", "redshift", "clickhouse", "trino"})
"""Adapters whose datasets are on a host and port, under the adapter's own name."""


def dataset_namespace(adapter_type: str, credentials: Mapping[str, Any]) -> str | None:
    """The namespace of the datasets that a target reaches; None for adapters of which none is known here."""
    host, port = credentials.get("host"), credentials.get("port")
    if adapter_type in _SERVERS and host:
        return f"{adapter_type}://{host}:{port}"
    if adapter_type == "duckdb" and credentials.get("path"):
        path, _, _may_hold_a_token = str(credentials["path"]).partition("?")
        return f"duckdb://{path}"
    if adapter_type == "snowflake" and credentials.get("account"):
        return f"snowflake://{_snowflake_account(str(credentials['account']))}"
    if adapter_type == "bigquery":
        return "bigquery"
    if adapter_type == "databricks" and host:
        return f"databricks://{host}"
    if adapter_type == "athena" and credentials.get("region_name"):
        return f"awsathena://athena.{credentials['region_name']}.amazonaws.com"
    return None


def _snowflake_account(account: str) -> str:
    """An account's whole identifier. Locators may leave out the cloud, which is AWS then, and its first region."""
    if "." not in account and ("-" in account or "_" in account):
        return account  # organization and account
    locator, *place = account.split(".")
    region, cloud = [*place, *("us-west-1", "aws")[len(place) :]][:2]
    return f"{locator}.{region}.{cloud}"


def dataset_name(node: LineageNode) -> str | None:
    """A dataset's name within its namespace; None where the node has no dataset."""
    return None if node.table is None else _joined(node.database, node.schema, node.table)


def run_job(project: str) -> str:
    """The job that all runs of a project are of."""
    return f"dbt-run-{project}"


def node_job(unique_id: str, node: LineageNode, command: str) -> str:
    """The job of a node under a command of dbt's."""
    kind, _, rest = unique_id.partition(".")
    built = ".build" if command == "build" else ""
    if kind == "model":
        return _joined(node.database, node.schema, rest) + (f"{built}.run" if built else "")
    if kind == "snapshot":
        return _joined(node.database, node.schema, rest) + f"{built}.snapshot"
    return unique_id


def attempt_run_id(invocation_id: str, unique_id: str, attempt: int | None) -> str:
    """The id of an attempt's run; None for what is done in several steps, all attempts of which are one run."""
    name = f"{invocation_id}/{unique_id}" + ("" if attempt is None else f"/{attempt}")
    return str(uuid5(NAMESPACE_OID, name))


def _joined(*parts: str | None) -> str:
    return ".".join(part for part in parts if part)
