"""catalog.json: the columns of all relations of the project, as `dbt docs generate` finds them.

Checked on dbt-core 1.11.16 and 1.12.0 against `GenerateTask.run`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dbt.utils
from dbt.artifacts.schemas.catalog import CatalogArtifact
from dbt.task.docs.generate import Catalog

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun


def make_catalog(run: HostRun, path: Path) -> None:
    """Asks the warehouse and writes the file. What it refuses to tell is in the catalog's `errors`, as in dbt."""
    manifest, adapter = run.manifest, run.adapter
    relational = [node for node in manifest.nodes.values() if node.is_relational and not node.is_ephemeral_model]
    described = [*relational, *manifest.sources.values()]
    with adapter.connection_named("generate_catalog"):
        relations = {adapter.Relation.create_from(adapter.config, node) for node in described}
        table, problems = adapter.get_filtered_catalog(described, manifest.get_used_schemas(), relations)
    rows = [dict(zip(table.column_names, map(dbt.utils._coerce_decimal, row), strict=True)) for row in table]
    nodes, sources = Catalog(rows).make_unique_id_map(manifest, None)
    CatalogArtifact.from_results(
        nodes=nodes,
        sources=sources,
        generated_at=datetime.now(UTC).replace(tzinfo=None),
        compile_results=None,
        errors=[str(problem) for problem in problems] or None,
    ).write(str(path))
