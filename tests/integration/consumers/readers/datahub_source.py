"""What DataHub's source of dbt makes of a stored run: `python datahub_source.py FOLDER FILE`, by way of the file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from datahub.ingestion.run.pipeline import Pipeline

folder, file = (Path(word) for word in sys.argv[1:])
pipeline = Pipeline.create(
    {
        "source": {
            "type": "dbt",
            "config": {
                "manifest_path": str(folder / "manifest.json"),
                "catalog_path": str(folder / "catalog.json"),
                "run_results_paths": [str(folder / "run_results.json")],
                "target_platform": "duckdb",
                "write_semantics": "OVERRIDE",  # what it would add to is on a server
                "entities_enabled": {"test_results": "YES"},
            },
        },
        "sink": {"type": "file", "config": {"filename": str(file)}},
    }
)
pipeline.run()
pipeline.raise_from_status()


def name(urn: str) -> str:
    """That of a dataset, which a schema, a database and an environment stand around."""
    return urn.split(",")[1].rpartition(".")[2]


found: dict[str, dict[str, Any]] = {"parents": {}, "models": {}, "tests": {}}
of_what: dict[str, tuple[str, str]] = {}
for each in json.loads(file.read_text()):
    for snapshot in each.get("proposedSnapshot", {}).values():
        aspects = {kind.rpartition(".")[2]: aspect for told in snapshot["aspects"] for kind, aspect in told.items()}
        upstreams = aspects.get("UpstreamLineage", {"upstreams": []})["upstreams"]
        unique_id = aspects["DatasetProperties"]["customProperties"]["dbt_unique_id"]
        found["parents"][unique_id] = [name(upstream["dataset"]) for upstream in upstreams]
    urn, aspect, value = each.get("entityUrn"), each.get("aspectName"), each.get("aspect", {}).get("json")
    if aspect == "dataProcessInstanceProperties":
        of_what[urn] = ("models", value["customProperties"]["dbt_name"])
    elif aspect == "assertionInfo":
        of_what[urn] = ("tests", value["customProperties"]["dbt_unique_id"])
    elif aspect in ("dataProcessInstanceRunEvent", "assertionRunEvent") and value["status"] == "COMPLETE":
        kind, unique_id = of_what[urn]
        found[kind][unique_id] = value["result"]["type"]
print(json.dumps(found))
