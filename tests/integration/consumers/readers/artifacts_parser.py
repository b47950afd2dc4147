"""What dbt-artifacts-parser finds in a stored run: `python artifacts_parser.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dbt_artifacts_parser.parser import parse_catalog, parse_manifest, parse_run_results

folder = Path(sys.argv[1])
manifest = parse_manifest(json.loads((folder / "manifest.json").read_text()))
run_results = parse_run_results(json.loads((folder / "run_results.json").read_text()))
catalog = parse_catalog(json.loads((folder / "catalog.json").read_text()))
found = {
    "invocation_id": str(run_results.metadata.invocation_id),
    "statuses": {each.unique_id: str(getattr(each.status, "value", each.status)) for each in run_results.results},
    "parents": {
        unique_id: list(node.depends_on.nodes or [])
        for unique_id, node in manifest.nodes.items()
        if unique_id.startswith("model.")
    },
    "columns": {unique_id: list(table.columns) for unique_id, table in catalog.nodes.items()},
}
print(json.dumps(found))
