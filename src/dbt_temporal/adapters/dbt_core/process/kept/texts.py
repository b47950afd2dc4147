"""What the texts of a project say of Jinja's `graph`: whether any speaks of it, and whether any may change it.

Checked on dbt-core 1.11.16 and 1.12.0: `get_environment`, `get_adapter_package_names`, `Manifest.macros`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from dbt.adapters.factory import get_adapter_package_names
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import HookNode
from dbt_common.clients.jinja import get_environment
from jinja2 import TemplateSyntaxError, nodes

from dbt_temporal.adapters.dbt_core.process.kept.containers import MUTATORS

_NAME = "graph"
_METHODS = frozenset().union(*MUTATORS.values())


def speaks_of_graph(manifest: Manifest, adapter_type: str) -> bool:
    """Whether any text beside those of dbt itself has the word: else nothing can reach `graph`."""
    return any(_NAME in text for _, text in _texts(manifest, adapter_type, manifest.nodes.keys()))


def may_change_graph(manifest: Manifest, adapter_type: str, selected: Collection[str]) -> str | None:
    """A macro, hook or selected node whose text may change `graph`, as far as one text tells; None where there is none.

    What is reached by the arguments or answers of macros is not looked at.
    """
    for what, text in _texts(manifest, adapter_type, selected):
        if _NAME in text and any(method in text for method in _METHODS) and _changes(text):
            return what
    return None


def _texts(manifest: Manifest, adapter_type: str, unique_ids: Collection[str]) -> Iterator[tuple[str, str]]:
    of_dbt = {"dbt", *get_adapter_package_names(adapter_type)}
    for macro in manifest.macros.values():
        if macro.package_name not in of_dbt:
            yield macro.unique_id, macro.macro_sql
    for unique_id, node in manifest.nodes.items():
        if unique_id in unique_ids or isinstance(node, HookNode):
            yield unique_id, getattr(node, "raw_code", None) or ""
            for hook in (*getattr(node.config, "pre_hook", ()), *getattr(node.config, "post_hook", ())):
                yield unique_id, hook.sql


def _changes(text: str) -> bool:
    try:
        tree = get_environment(None, capture_macros=True).parse(text)
    except TemplateSyntaxError:
        return False  # it renders nothing
    of_graph = {_NAME}
    while True:
        more = {name for target, source in _flows(tree) if _reaches(source, of_graph) for name in _names(target)}
        if more <= of_graph:
            break
        of_graph |= more
    return any(
        isinstance(call.node, nodes.Getattr) and call.node.attr in _METHODS and _reaches(call.node.node, of_graph)
        for call in tree.find_all(nodes.Call)
    )


def _flows(tree: nodes.Template) -> Iterator[tuple[Any, Any]]:
    """Names, and the expressions that they get their values from."""
    for assign in tree.find_all(nodes.Assign):
        yield assign.target, assign.node
    for loop in tree.find_all(nodes.For):
        yield loop.target, loop.iter


def _names(expression: Any) -> set[str]:
    own = {expression.name} if isinstance(expression, nodes.Name) else set()
    return own | {name.name for name in expression.find_all(nodes.Name)}


def _reaches(expression: Any, names: Collection[str]) -> bool:
    return not _names(expression).isdisjoint(names)
