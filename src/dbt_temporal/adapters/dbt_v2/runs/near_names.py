"""Names in a run's selection that the project does not have.

dbt v2 says nothing of them where it lists nodes, and where it runs some (checked on 2.0.0-preview.190).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dbt_temporal.application.near_names import Selectable, did_you_mean, names
from dbt_temporal.domain.log.said import Kind, marked

_CRITERION = re.compile(r"@?(?:\d*\+)?(?:(?P<method>[\w.]+):)?(?P<value>.*?)(?:\+\d*)?")
_MAX_LOOKED_UP = 20
"""So many unknown names are looked up: in a large project, each takes a while."""
_WILDCARDS = re.compile(r"[*?\[]")
_NODES = ("nodes", "unit_tests", "functions", "exposures", "metrics", "saved_queries", "semantic_models")
_NO_SUCH_NAME = Kind("Note", "Z050", "warn")
_FILE = re.compile(r"\.(sql|py|csv|yml|yaml)$", re.IGNORECASE)


def unknown_names(selection: str | None, document: Mapping[str, Any]) -> list[str]:
    """Lines for the run's log: each name that nothing has, with those that are near it; of others, nothing.

    Args:
        selection: `select` of the run's input.
        document: the manifest.
    """
    selectable: list[Selectable] = []
    known: dict[str, set[str]] = {}
    looked_up, lines = 0, list[str]()
    for criterion in re.split(r"[\s,]+", selection or ""):
        found = _CRITERION.fullmatch(criterion)
        if found is None or not found["value"] or _WILDCARDS.search(found["value"]):
            continue
        method, value = found["method"] or _default_method(found["value"]), found["value"]
        selectable = selectable or list(_selectable(document))
        if method not in known:
            known[method] = _known(method, selectable)
        if not known[method] or value in known[method] or looked_up == _MAX_LOOKED_UP:
            continue
        looked_up += 1
        near = did_you_mean(method, value, selectable)
        if near:
            problem = f"Nothing in the project has the name of the selection criterion '{criterion}'"
            lines += [marked(problem, _NO_SUCH_NAME), *near]
    return lines


def _default_method(value: str) -> str:
    return "path" if "/" in value else "file" if _FILE.search(value) else "fqn"


def _known(method: str, selectable: list[Selectable]) -> set[str]:
    """All that a criterion may name in full."""
    known = names(method, selectable)
    if method == "fqn":
        fqns = {tuple(each.fqn) for each in selectable}
        spans = {(fqn, start, end) for fqn in fqns for start in range(len(fqn)) for end in range(start, len(fqn))}
        return known | {".".join(fqn[start : end + 1]) for fqn, start, end in spans}
    if method == "path":
        folders = {path.rpartition("/")[0] for path in known}
        parents = {folder[: place.start()] for folder in folders for place in re.finditer("/", f"{folder}/")}
        return known | parents | {f"{folder}/" for folder in parents}
    if method == "file":
        return known | {name.rpartition(".")[0] for name in known}
    if method == "source":
        fqns = {tuple(each.fqn) for each in selectable if each.is_source}
        return known | {fqn[-2] for fqn in fqns} | {f"{fqn[0]}.{name}" for fqn in fqns for name in fqn[-2:]}
    return known


def _selectable(document: Mapping[str, Any]) -> Iterator[Selectable]:
    for kind in _NODES:
        for node in document.get(kind, {}).values():
            if node.get("resource_type") != "operation":
                yield Selectable(node["name"], node.get("fqn") or (), node.get("original_file_path") or "", _tags(node))
    for source in document.get("sources", {}).values():
        name = f"{source['source_name']}.{source['name']}"
        yield Selectable(name, (source["package_name"], source["source_name"], name), "", _tags(source), is_source=True)


def _tags(node: Mapping[str, Any]) -> list[str]:
    tags = node.get("tags") or (node.get("config") or {}).get("tags") or []
    return [tags] if isinstance(tags, str) else list(tags)
