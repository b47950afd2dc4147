"""What a run on dbt v2 has to have for itself alone, by the names of the engine on dbt-core: runs of both may meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from dbt_temporal.adapters.dbt_v2.commands import TargetFacts
from dbt_temporal.adapters.dbt_v2.plan import Manifest
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.leases.messages import Lease, LeasePer, pack_keys, short_digest
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput

_RELATIONS = frozenset({"model", "seed", "snapshot", "function"})


def lease_of(
    per: LeasePer,
    unique_ids: Iterable[str],
    *,
    run_input: DbtRunInput,
    manifest: Manifest,
    facts: TargetFacts,
    folder: Path,
) -> Lease | None:
    """The lease of a run of these nodes; None where it writes nothing that is known, or no other process reaches it.

    Args:
        per: of which kind.
        unique_ids: the nodes of the plan.
        run_input: the run's.
        manifest: of the project.
        facts: of the target.
        folder: which relative paths of the profile are relative to.

    Raises:
        DbtTemporalError: of type Configuration, where it is not known here what others call the target's server.
    """
    if per == "none" or not COMMANDS[run_input.command].writes:
        return None
    relations = list(_written(manifest, unique_ids, stores_failures=bool(run_input.store_failures)))
    if not relations:
        return None
    return _lease(per, relations, manifest.project_name, facts, folder)


def lease_of_operation(per: LeasePer, *, project: str, facts: TargetFacts, folder: Path) -> Lease | None:
    """The lease of a run of a macro, of which nobody knows what it writes. Raises as `lease_of` does."""
    return None if per in ("none", "relation") else _lease(per, [], project, facts, folder)


def _lease(per: LeasePer, relations: list[str], project: str, facts: TargetFacts, folder: Path) -> Lease | None:
    if per == "project":
        name = project
        return Lease(scope=f"project/{name}", keys=pack_keys([name]), what=f"the project {name}")
    server = _server(facts, folder)
    if server is None:
        return None
    if per == "relation":
        what = "one relation" if len(relations) == 1 else f"{len(relations)} relations"
        scope = f"relations/{facts.adapter_type}/{short_digest(server)}"
        return Lease(scope=scope, keys=pack_keys(relations), what=what)
    place = _name(facts.database, facts.schema)
    scope = f"target/{facts.adapter_type}/{place}/{short_digest(server)}"
    return Lease(scope=scope, keys=pack_keys([place]), what=f"the schema {place}")


def _written(manifest: Manifest, unique_ids: Iterable[str], *, stores_failures: bool) -> Iterator[str]:
    for unique_id in unique_ids:
        node = manifest.node(unique_id)
        config = node.get("config") or {}
        is_relation = node["resource_type"] in _RELATIONS and config.get("materialized") != "ephemeral"
        stores = node["resource_type"] == "test" and (stores_failures or bool(config.get("store_failures")))
        if is_relation or stores:
            yield _name(node.get("database"), node.get("schema"), node.get("alias") or node["name"])


def _name(*parts: str | None) -> str:
    return ".".join(part for part in parts if part).lower()


def _server(facts: TargetFacts, folder: Path) -> str | None:
    if facts.adapter_type == "postgres":
        return f"postgres {facts.host} {facts.port}".lower()
    path = facts.path or ":memory:"
    if facts.adapter_type == "duckdb" and ":" not in path:
        return f"duckdb {(folder / path).resolve()}"
    if facts.adapter_type == "duckdb" and path.startswith(":memory:"):
        return None
    raise configuration_error(
        f"dbt_temporal.yml: `concurrency`: the engine v2 does not know what others call the server of the target "
        f"{facts.name!r} ({facts.adapter_type}); use `per: project`, or let the project run on dbt-core"
    )
