"""What somebody may have meant by a selection that matches nothing, of which dbt says no more than that.

Checked on dbt-core 1.11.16 and 1.12.0: the event NoNodesForSelectionCriteria, `SelectionCriteria.parse_method`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from dbt.contracts.graph.manifest import Manifest
from dbt.graph import SelectionCriteria
from dbt.graph.selector_methods import MethodName
from dbt.graph.selector_spec import RAW_SELECTOR_PATTERN
from dbt_common.exceptions import DbtRuntimeError

MOST_NAMES, NEAR_FROM = 3, 0.7
"""How many at most, and how near from 0 to 1 (`difflib.get_close_matches`)."""
_UNMATCHED = re.compile(r"The selection criterion '(?P<criterion>.*)' does not match any enabled nodes")


def with_near_names(lines: Iterable[str], manifest: Manifest) -> Iterator[str]:
    """The lines, and after each that says that nothing matches, the names that are nearest, if any are near."""
    for line in lines:
        yield line
        found = _UNMATCHED.search(line)
        near = [] if found is None else _near(found["criterion"], manifest)
        if near:
            yield f"  Did you mean {' or '.join(near)}?"


def _near(criterion: str, manifest: Manifest) -> list[str]:
    parts = RAW_SELECTOR_PATTERN.match(criterion)
    if parts is None:
        return []
    try:
        method, _ = SelectionCriteria.parse_method(parts.groupdict())
    except DbtRuntimeError:
        return []
    return difflib.get_close_matches(parts["value"], _names(manifest, method), MOST_NAMES, NEAR_FROM)


def _names(manifest: Manifest, method: MethodName) -> list[str]:
    """What such a criterion could have named."""
    nodes = list(chain(manifest.nodes.values(), manifest.unit_tests.values()))
    if method == MethodName.FQN:
        folders = (".".join(node.fqn[1:-1]) for node in nodes)
        return sorted({*(node.name for node in nodes), *folders} - {""})
    if method in (MethodName.Path, MethodName.File):
        paths = {node.original_file_path for node in nodes}
        return sorted(paths if method == MethodName.Path else {path.rpartition("/")[2] for path in paths})
    if method == MethodName.Tag:
        return sorted({tag for node in chain(nodes, manifest.sources.values()) for tag in node.tags})
    if method == MethodName.Source:
        return sorted({f"{source.source_name}.{source.name}" for source in manifest.sources.values()})
    return []
