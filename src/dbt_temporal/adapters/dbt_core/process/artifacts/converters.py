"""The converters of dbt's classes to JSON, made before the first run needs them.

mashumaro makes a class's converters when it is first converted: 70 ms of a run's last step, in each host anew. Hosts
inherit those that their parent has.

Checked on dbt-core 1.11.16 and 1.12.0: `to_resource`, the fields of `WritableManifest`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dbt.artifacts.schemas.manifest import WritableManifest
from dbt.artifacts.schemas.results import RunStatus
from dbt.artifacts.schemas.run import RunResult, RunResultsArtifact
from dbt.artifacts.schemas.run.v5.run import RunResultOutput, RunResultsMetadata, process_run_result
from dbt.contracts.graph.manifest import Manifest

_VERSION = str(RunResultsArtifact.dbt_schema_version)


def make_converters(manifest: Manifest) -> Iterator[None]:
    """Converts one resource of each class that the manifest has, and the result of a node; a step each."""
    document: dict[str, Any] = {}
    for field in dataclasses.fields(WritableManifest):
        section = getattr(manifest, field.name, None)
        document[field.name] = section
        if isinstance(section, Mapping) and field.name not in _AS_THEY_ARE:
            document[field.name] = {}
            for unique_id, resource in _one_of_each_class(section.items()):
                # What cannot be converted is told when it is to be written.
                with contextlib.suppress(Exception):
                    document[field.name][unique_id] = _converted(resource)
                yield
    with contextlib.suppress(Exception):
        WritableManifest(**document | {name: {} for name in _MAPS}).to_dict(omit_none=False, context={"artifact": True})
    yield
    for node in list(manifest.nodes.values())[:1]:
        with contextlib.suppress(Exception):
            output = process_run_result(RunResult.from_node(node, RunStatus.Success, None))
            results = [RunResultOutput.from_dict(output.to_dict())]
            RunResultsArtifact(RunResultsMetadata(_VERSION), results=results, elapsed_time=0.0).to_dict(omit_none=False)
        yield


_MAPS = ("parent_map", "child_map", "group_map")
_AS_THEY_ARE = frozenset({"selectors", "metadata", *_MAPS})
"""The sections that hold no resources of dbt's."""


def _converted(value: Any) -> Any:
    return [each.to_resource() for each in value] if isinstance(value, list) else value.to_resource()


def _one_of_each_class(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen = set()
    for unique_id, value in items:
        classes = tuple(map(type, value)) if isinstance(value, list) else type(value)
        if classes not in seen:
            seen.add(classes)
            yield unique_id, value
