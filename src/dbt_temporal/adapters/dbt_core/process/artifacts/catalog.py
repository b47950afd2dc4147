"""catalog.json: the columns of all relations of the project, as `dbt docs generate` finds them, and its pages.

Checked on dbt-core 1.11.16 and 1.12.0 against `GenerateTask.run`.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dbt.utils
from dbt.artifacts.schemas.catalog import CatalogArtifact
from dbt.constants import CATALOG_FILENAME, MANIFEST_FILE_NAME
from dbt.task.docs import DOCS_INDEX_FILE_PATH
from dbt.task.docs.generate import Catalog
from dbt_common.exceptions import DbtRuntimeError

from dbt_temporal.adapters.dbt_core.process.run.catalog_parts import assembled, part_names
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


def is_catalog(unique_id: str) -> bool:
    """Whether this names the catalog's own node, of which dbt has no result."""
    return unique_id.startswith("catalog.")


def write_docs(run: HostRun, records: list[dict[str, Any]], folder: Path) -> None:
    """What `docs generate` writes beside manifest.json, which is there: pages and assets, and the recorded catalog."""
    whole = next((record for record in records if record["kind"] == "catalog"), None)
    parts = {record["name"]: record for record in records if record["kind"] == "catalog_part"}
    if whole is None and (not parts or parts.keys() != set(part_names(run))):
        return  # nobody has asked for it, or not for all of it
    shutil.copyfile(DOCS_INDEX_FILE_PATH, folder / "index.html")
    for asset_path in run.project.config.asset_paths:
        source = Path(run.project.config.project_root) / asset_path
        if source.exists():
            shutil.copytree(source, folder / asset_path, dirs_exist_ok=True)
    document = _assembled(run, parts) if whole is None else whole["catalog"]
    if document is None:
        return
    if whole is not None:
        document = {**document, "errors": whole["errors"]}
    catalog = json.dumps(document)
    (folder / CATALOG_FILENAME).write_text(catalog, encoding="utf-8")
    if run.flags.STATIC:
        manifest = (folder / MANIFEST_FILE_NAME).read_text(encoding="utf-8")
        page = Path(DOCS_INDEX_FILE_PATH).read_text(encoding="utf-8")
        page = page.replace('"MANIFEST.JSON INLINE DATA"', manifest).replace('"CATALOG.JSON INLINE DATA"', catalog)
        (folder / "static_index.html").write_text(page, encoding="utf-8")


def _assembled(run: HostRun, parts: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The catalog of its parts; None where dbt writes none, as it makes an error of its warning of one that failed."""
    answers = {name: part["errors"][0] if part["errors"] else part["tables"] for name, part in parts.items()}
    try:
        return assembled(run, answers)
    except DbtRuntimeError:
        return None
