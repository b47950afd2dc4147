"""The lineage that recce makes of a stored run: `python recce_lineage.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from recce.adapter.dbt_adapter import DbtAdapter, load_catalog, load_manifest

folder = Path(sys.argv[1])
adapter = DbtAdapter(
    curr_manifest=load_manifest(path=str(folder / "manifest.json")),
    curr_catalog=load_catalog(path=str(folder / "catalog.json")),
)
lineage = adapter.get_lineage()
found = {
    "nodes": {unique_id: node["resource_type"] for unique_id, node in lineage["nodes"].items()},
    "parents": lineage["parent_map"],
    "columns": {uid: list(node["columns"]) for uid, node in lineage["nodes"].items() if node.get("columns")},
}
print(json.dumps(found))
