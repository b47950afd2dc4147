"""Which criterion of a selection matches nothing, and what it could have named.

Checked on dbt-core 1.11.16 and 1.12.0: the event NoNodesForSelectionCriteria, `SelectionCriteria.parse_method`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from dbt.contracts.graph.manifest import Manifest
from dbt.graph import SelectionCriteria
from dbt.graph.selector_spec import RAW_SELECTOR_PATTERN
from dbt_common.exceptions import DbtRuntimeError

from dbt_temporal.application.near_names import Selectable, did_you_mean

_UNMATCHED = re.compile(r"The selection criterion '(?P<criterion>.*)' does not match any enabled nodes")


def with_near_names(lines: Iterable[str], manifest: Manifest) -> Iterator[str]:
    """The lines, and after each that says that nothing matches, the names that are nearest, if any are near."""
    for line in lines:
        yield line
        criterion = _unmatched(line)
        if criterion is not None:
            yield from did_you_mean(*criterion, _selectable(manifest))


def _unmatched(line: str) -> tuple[str, str] | None:
    found = _UNMATCHED.search(line)
    parts = None if found is None else RAW_SELECTOR_PATTERN.match(found["criterion"])
    if parts is None:
        return None
    try:
        method, _ = SelectionCriteria.parse_method(parts.groupdict())
    except DbtRuntimeError:
        return None
    return str(method.value), parts["value"]


def _selectable(manifest: Manifest) -> Iterator[Selectable]:
    for node in chain(manifest.nodes.values(), manifest.unit_tests.values()):
        yield Selectable(node.name, node.fqn, node.original_file_path, node.tags)
    for source in manifest.sources.values():
        yield Selectable(f"{source.source_name}.{source.name}", (), "", source.tags, is_source=True)
