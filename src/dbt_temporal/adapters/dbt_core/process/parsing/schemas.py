"""dbt's JSON schemas, by which it checks what it parses: half of the CPU time of a first parse in a process.

dbt makes the schema of a class when it first checks one by it, and keeps it. Made in the template, they are there in
all processes. Checked on dbt-core 1.11.16 and 1.12.0: `dbtClassMixin.json_schema`, which keeps 128 schemas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from dbt.artifacts.resources import Contract, NodeConfig
from dbt.contracts import project
from dbt.contracts.graph import nodes, unparsed
from dbt.contracts.graph.model_config import RESOURCE_TYPES
from dbt.contracts.selection import SelectorFile

_OF_PROJECTS = (
    project.ProjectFlags,
    project.ProfileConfig,
    project.Project,
    project.PackageConfig,
    project.Configuration,
    SelectorFile,
)


def make_schemas() -> Iterator[None]:
    """Makes the schemas of projects, nodes, their configs, and what YAML files hold, one a step."""
    of_yaml = [each for name, each in vars(unparsed).items() if name.startswith("Unparsed")]
    of_nodes = _members(nodes.ManifestNode)
    for each in dict.fromkeys([*_OF_PROJECTS, *RESOURCE_TYPES.values(), NodeConfig, Contract, *of_yaml, *of_nodes]):
        each.json_schema()
        yield


def _members(union: Any) -> list[Any]:
    return [member for each in get_args(union) for member in (_members(each) or [each])]
