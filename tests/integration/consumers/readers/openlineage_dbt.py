"""The events that OpenLineage's integration makes of a stored run: `python openlineage_dbt.py FOLDER PROJECT_DIR`."""

from __future__ import annotations

import json
import sys
from typing import Any

from openlineage.common.provider.dbt.local import DbtLocalArtifactProcessor

folder, project_dir = sys.argv[1:]
processor = DbtLocalArtifactProcessor(
    project_dir=project_dir, target_path=folder, producer="https://example.com/tests", job_namespace="dbt"
)


def names(datasets: list[Any]) -> list[list[str]]:
    """Namespace and name of each."""
    return [[dataset.namespace, dataset.name] for dataset in datasets]


found = [
    {
        "type": event.eventType.value,
        "namespace": event.job.namespace,
        "job": event.job.name,
        "unique_id": event.job.facets["dbt_node"].unique_id,
        "invocation_id": event.run.facets["dbt_run"].invocation_id,
        "inputs": names(event.inputs),
        "outputs": names(event.outputs),
    }
    for event in processor.parse().events()
]
print(json.dumps(found))
