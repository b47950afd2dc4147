"""What a run has to have for itself alone: its project, the place its target writes to, or the relations it writes.

Checked on dbt-core 1.11.16 and 1.12.0: `is_relational`, which says of a node whether it is an object in the database;
of a test, whether it stores its failures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dbt.adapters.base.impl import BaseAdapter

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun, is_ephemeral
from dbt_temporal.domain.leases.messages import Lease, LeasePer, pack_keys, short_digest
from dbt_temporal.domain.run.commands import COMMANDS


def lease_of(run: HostRun, per: LeasePer, unique_ids: Iterable[str]) -> Lease | None:
    """The lease of a run of these nodes; None where it writes nothing that is known, or no other process reaches it."""
    if per == "none" or not COMMANDS[run.command].writes:
        return None
    relations = list(_written(run, unique_ids))
    is_operation = run.command == "run-operation"
    if per == "relation" and relations and (server := _server(run.adapter)) is not None:
        what = "one relation" if len(relations) == 1 else f"{len(relations)} relations"
        scope = f"relations/{run.adapter.type()}/{short_digest(server)}"
        return Lease(scope=scope, keys=pack_keys(relations), what=what)
    if per == "project" and (relations or is_operation):
        name = run.project.name
        return Lease(scope=f"project/{name}", keys=pack_keys([name]), what=f"the project {name}")
    if per == "target" and (relations or is_operation) and (server := _server(run.adapter)) is not None:
        credentials: Any = run.adapter.config.credentials
        place = _name(credentials.database, credentials.schema)
        scope = f"target/{run.adapter.type()}/{place}/{short_digest(server)}"
        return Lease(scope=scope, keys=pack_keys([place]), what=f"the schema {place}")
    return None


def _written(run: HostRun, unique_ids: Iterable[str]) -> Iterator[str]:
    for unique_id in unique_ids:
        node: Any = run.manifest.nodes.get(unique_id) or run.manifest.functions.get(unique_id)
        if node is None or is_ephemeral(node):
            continue
        if getattr(node, "is_relational", False) or node.resource_type == "function":
            yield _name(node.database, node.schema, node.alias)


def _name(*parts: str | None) -> str:
    """As two projects would have it that quote differently. Where they mean two, they wait for each other in vain."""
    return ".".join(part for part in parts if part).lower()


def _server(adapter: BaseAdapter) -> str | None:
    """What two profiles have in common that reach the same databases; None where no other process reaches this one."""
    credentials: Any = adapter.config.credentials
    if adapter.type() == "duckdb" and not (credentials.remote or credentials.is_motherduck):
        path = credentials.path or ":memory:"
        return None if path.startswith(":memory:") else f"duckdb {Path(path).resolve()}"
    server = str(credentials.unique_field)
    # Where a database is all there is to name, as BigQuery's projects, names of relations tell them apart already.
    server = "" if server == credentials.database else server
    return f"{adapter.type()} {server} {getattr(credentials, 'port', '')}".lower()
