"""Keeping a host's relation cache right although other processes build relations.

dbt fills its cache when a run starts and trusts it from then on. Only entries of the nodes at hand are compared with
the database here: dropping a whole schema from the cache could lose what a sibling has added meanwhile.
Checked on dbt-adapters 1.22 and 1.24: `BaseAdapter.cache`, `list_relations_without_caching`, `_get_cache_schemas`,
`RelationsCache.relations`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.base.relation import BaseRelation
from dbt.adapters.reference_keys import _make_ref_key


def refresh(adapter: BaseAdapter, config: Any, nodes: Iterable[Any]) -> None:
    """Makes the cache's entries of these nodes' relations agree with the database."""
    by_schema: dict[Any, list[BaseRelation]] = {}
    for node in nodes:
        relation = adapter.Relation.create_from(config, node)
        if relation.schema and (relation.database, relation.schema) in adapter.cache:
            by_schema.setdefault(relation.without_identifier(), []).append(relation)
    for schema, relations in by_schema.items():
        with adapter.connection_named("refresh_cache"):
            present = {_make_ref_key(each): each for each in adapter.list_relations_without_caching(schema)}
        for relation in relations:
            refresh_one(adapter, relation, present)


def refresh_one(adapter: BaseAdapter, relation: BaseRelation, present: dict[Any, BaseRelation]) -> None:
    """Makes the cache's entry of a relation agree with what is there, by `_make_ref_key`."""
    key = _make_ref_key(relation)
    current = present.get(key)
    # By its key: a host that hears of a thousand nodes at once must not look through all relations for each of them.
    with adapter.cache.lock:
        known = adapter.cache.relations.get(key)
    cached = None if known is None else known.inner
    if current is None:
        if cached is not None:
            adapter.cache.drop(relation)
        return
    if cached is not None and cached.type != current.type:
        adapter.cache.drop(relation)
        cached = None
    if cached is None:
        adapter.cache.add(current)
