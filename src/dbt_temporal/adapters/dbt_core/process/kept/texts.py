"""What the texts of a project say of Jinja's `graph`: whether any speaks of it, and whether any may change it.

Checked on dbt-core 1.11.16 and 1.12.0: `get_environment`, `get_adapter_package_names`, `Manifest.macros`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar

from dbt.adapters.factory import get_adapter_package_names
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import HookNode
from dbt_common.clients.jinja import get_environment
from dbt_common.utils.jinja import MACRO_PREFIX
from jinja2 import TemplateSyntaxError, nodes

from dbt_temporal.adapters.dbt_core.process.kept.containers import MUTATORS

Node = TypeVar("Node", bound=nodes.Node)

_NAME = "graph"
_METHODS = frozenset().union(*MUTATORS.values())


def speaks_of_graph(manifest: Manifest, adapter_type: str) -> bool:
    """Whether any text beside those of dbt itself has the word: else nothing can reach `graph`."""
    return any(_NAME in text for _, text in _texts(manifest, adapter_type, manifest.nodes.keys()))


def may_change_graph(manifest: Manifest, adapter_type: str, selected: Collection[str]) -> str | None:
    """A macro, hook or selected node whose text may change `graph`; None where there is none.

    What comes by arguments of macros is not looked at, and of their answers only what they return of `graph` itself.
    """
    texts = list(_texts(manifest, adapter_type, selected))
    macros: set[str] = set()
    while True:
        trees = {what: _parsed(text) for what, text in texts if any(name in text for name in (_NAME, *macros))}
        more = {name for tree in trees.values() for name in _returning(tree, macros)} - macros
        if not more:
            return next((what for what, tree in trees.items() if _changes(tree, macros)), None)
        macros |= more


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


def _parsed(text: str) -> nodes.Template:
    try:
        tree: nodes.Template = get_environment(None, capture_macros=True).parse(text)
    except TemplateSyntaxError:
        return nodes.Template([])  # it renders nothing
    return tree


def _returning(tree: nodes.Template, macros: Collection[str]) -> Iterator[str]:
    """Macros that return a part of `graph`."""
    for macro in tree.find_all(nodes.Macro):
        variables = _variables(macro, macros)
        returns = [call for call in macro.find_all(nodes.Call) if getattr(call.node, "name", "") == "return"]
        if any(_reaches(argument, variables, macros) for call in returns for argument in call.args):
            yield macro.name.removeprefix(MACRO_PREFIX)


def _changes(tree: nodes.Template, macros: Collection[str]) -> bool:
    variables = _variables(tree, macros)
    methods = [call.node for call in tree.find_all(nodes.Call) if isinstance(call.node, nodes.Getattr)]
    return any(method.attr in _METHODS and _reaches(method.node, variables, macros) for method in methods)


def _variables(tree: nodes.Node, macros: Collection[str]) -> set[str]:
    """The names that lead to something in `graph`."""
    variables = {_NAME}
    flows: list[tuple[nodes.Node, nodes.Node]] = [(each.target, each.node) for each in tree.find_all(nodes.Assign)]
    flows += [(each.target, each.iter) for each in tree.find_all(nodes.For)]
    while True:
        targets = [target for target, source in flows if _reaches(source, variables, macros)]
        more = {name.name for target in targets for name in _all(target, nodes.Name)} - variables
        if not more:
            return variables
        variables |= more


def _reaches(expression: nodes.Node, variables: Collection[str], macros: Collection[str]) -> bool:
    names = [each.name for each in _all(expression, nodes.Name)]
    attributes = [each.attr for each in _all(expression, nodes.Getattr)]  # of packages: `package.macro`
    return any(name in variables or name in macros for name in names) or any(name in macros for name in attributes)


def _all(expression: nodes.Node, kind: type[Node]) -> Iterator[Node]:
    if isinstance(expression, kind):
        yield expression
    yield from expression.find_all(kind)
