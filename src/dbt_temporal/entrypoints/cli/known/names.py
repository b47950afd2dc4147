"""Names of projects, nodes and selectors, for shell completion: what is known of the project that is meant.

They come from a manifest.json, which may be large: what completion needs of it is kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

_OPERATORS = re.compile(r"(?:.*[ ,])?(?:@|\d*\+)?")
"""What may stand before a name in dbt's selection grammar: other names, and a graph operator."""
_BY_METHOD = {"sources": "source", "exposures": "exposure", "metrics": "metric", "semantic_models": "semantic_model"}


def complete_project(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of projects that a command typed here may mean."""
    from dbt_temporal.entrypoints.cli.known.places import known_projects

    known = known_projects(os.environ, Path.cwd())
    return _beginning(incomplete, ((project.name, str(project.folder)) for project in known))


def complete_selection(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of nodes, behind what stands before the last name already: `+orders`, `tag:nightly,stg_orders`."""
    found = _OPERATORS.match(incomplete)
    before = found[0] if found else ""
    items = _beginning(incomplete[len(before) :], _names(ctx)["nodes"])
    return [CompletionItem(before + item.value, help=item.help) for item in items]


def complete_node(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of nodes alone, without methods and tags."""
    return _beginning(incomplete, ((name, kind) for name, kind in _names(ctx)["nodes"] if ":" not in name))


def complete_selector(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the project's selectors."""
    return _beginning(incomplete, ((name, "") for name in _names(ctx)["selectors"]))


def complete_target(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Targets of the project's profile."""
    from dbt_temporal.entrypoints.cli.known.places import known_projects, targets

    for project in known_projects(os.environ, Path.cwd()):
        if ctx.params.get("project") in (None, project.name):
            found = targets(project, os.environ)
            if found:
                return _beginning(incomplete, ((name, "") for name in found))
    return []


def names_in(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What completion needs of a manifest: nodes with their kinds, by what selects them, and selectors."""
    nodes: dict[str, str] = {}
    tags: dict[str, str] = {}
    for section in ("nodes", "unit_tests"):
        for node in manifest.get(section, {}).values():
            nodes.setdefault(node["name"], node["resource_type"])
            tags |= {f"tag:{tag}": "tag" for tag in node.get("tags") or ()}
    for section, method in _BY_METHOD.items():
        for node in manifest.get(section, {}).values():
            name = f"{node['source_name']}.{node['name']}" if method == "source" else node["name"]
            nodes.setdefault(f"{method}:{name}", method)
    return {
        "nodes": [*sorted(nodes.items()), *sorted(tags.items())],
        "selectors": sorted(manifest.get("selectors", {})),
    }


def _names(ctx: click.Context) -> dict[str, Any]:
    """Of the project that the command line names, else of the most likely one of which there is a manifest."""
    from dbt_temporal.entrypoints.cli.known.places import cache_dir, known_projects, manifests

    asked = ctx.params.get("project")
    for project in known_projects(os.environ, Path.cwd()):
        if asked in (None, project.name):
            for manifest in manifests(project, os.environ):
                return _kept(manifest, cache_dir(os.environ) / "completion")
    return {"nodes": [], "selectors": []}


def _kept(manifest: Path, folder: Path) -> dict[str, Any]:
    """The names of a manifest as they are kept, if it has not changed since; else read, and kept."""
    state = manifest.stat()
    facts = [str(manifest), state.st_size, state.st_mtime_ns]
    place = folder / f"{hashlib.sha256(str(manifest).encode()).hexdigest()[:24]}.json"
    try:
        kept = json.loads(place.read_text())
        if kept["of"] == facts:
            return dict(kept["names"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing is kept, or it was written by another release
    import orjson

    try:
        names = names_in(orjson.loads(manifest.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"nodes": [], "selectors": []}  # it is being written, or is none
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"of": facts, "names": names}))
        os.replace(draft, place)
    except OSError:
        pass  # where the cache folder cannot be written, the manifest is read each time
    return names


def _beginning(typed: str, known: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(name, help=text or None) for name, text in known if name.startswith(typed)]
