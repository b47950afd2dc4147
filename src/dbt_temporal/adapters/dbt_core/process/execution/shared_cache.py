"""One relation cache over several hosts of a run: each tells what its nodes have changed, and hears it of the others.

A host that hears of all that the others have built need not look into the database, which takes longer the more there
is. What changed is told as what is there now, so that it may be heard twice, or late.

Checked on dbt-adapters 1.22 and 1.24: `RelationsCache.add`, `drop` and `rename`, through which dbt changes its cache
after it has filled it, and `relations`.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import threading
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.base.relation import BaseRelation
from dbt.adapters.reference_keys import _make_ref_key

from dbt_temporal.adapters.dbt_core.process.execution.relations import refresh_one


@dataclass(frozen=True)
class Change:
    """A relation that a node has touched.

    Attributes:
        now: what is in its place now.
        at: when it was touched last, by the clock that all processes of the machine share (monotonic seconds).
    """

    relation: BaseRelation
    now: BaseRelation | None
    at: float


class SharedCache:
    """The part of it that one host has."""

    def __init__(self, adapter: BaseAdapter) -> None:
        self._adapter = adapter
        self._untold: dict[Any, BaseRelation] = {}
        self._touched_at: dict[Any, float] = {}
        self._heard: deque[str] = deque()
        self._lock = threading.Lock()
        self._catching_up = threading.Lock()
        self._here = threading.local()
        self._watches = False

    def watch(self) -> None:
        """Takes note of what nodes change from now on, once the cache is filled."""
        with self._lock:
            if self._watches:
                return
            self._watches = True
        cache = self._adapter.cache
        add, drop, rename = cache.add, cache.drop, cache.rename

        def watched_add(relation: BaseRelation) -> None:
            add(relation)
            self._touch([relation])

        def watched_drop(relation: BaseRelation) -> None:
            gone = self._falls_with(relation)
            drop(relation)
            self._touch([relation, *gone])

        def watched_rename(old: BaseRelation, new: BaseRelation) -> None:
            rename(old, new)
            self._touch([old, new])

        cache.add, cache.drop, cache.rename = watched_add, watched_drop, watched_rename

    @contextlib.contextmanager
    def unwatched(self) -> Iterator[None]:
        """Within the block, what this thread changes in the cache is what others have done."""
        self._here.unwatched = True
        try:
            yield
        finally:
            self._here.unwatched = False

    def changes(self) -> str | None:
        """What has changed since this was asked last, for other hosts; None where nothing has."""
        with self._lock:
            untold, self._untold = self._untold, {}
            touched_at = {key: self._touched_at[key] for key in untold}
        if not untold:
            return None
        cache = self._adapter.cache
        with cache.lock:
            known = {key: cache.relations.get(key) for key in untold}
        changes = [
            Change(relation, None if (now := known[key]) is None else now.inner, touched_at[key])
            for key, relation in untold.items()
        ]
        # For forks of the same parent.
        return b64encode(pickle.dumps(changes)).decode()

    def hear(self, changes: Iterable[str]) -> None:
        """Takes what another host has changed; it counts from `catch_up` on."""
        self._heard.extend(changes)

    def catch_up(self) -> bool:
        """Makes the cache agree with what was heard, but for what this host has touched since.

        Returns:
            whether it does; where it does not, whoever relies on it looks into the database.
        """
        agrees = True
        with self._catching_up, self.unwatched():
            while self._heard:
                for change in pickle.loads(b64decode(self._heard.popleft())):
                    try:
                        self._take(change)
                    except Exception as error:
                        print(f"what another host has changed cannot be taken over: {error!r}", flush=True)
                        agrees = False
        return agrees

    def _take(self, change: Change) -> None:
        relation, now, key = change.relation, change.now, _make_ref_key(change.relation)
        if change.at < self._touched_at.get(key, -math.inf):
            return  # there is newer news, or this host has touched it since
        self._touched_at[key] = change.at
        if (relation.database, relation.schema) in self._adapter.cache:
            refresh_one(self._adapter, relation, {} if now is None else {_make_ref_key(now): now})

    def _falls_with(self, relation: BaseRelation) -> list[BaseRelation]:
        """What the cache drops with a relation: that which stands on it."""
        cache = self._adapter.cache
        with cache.lock:
            known = cache.relations.get(_make_ref_key(relation))
            return [] if known is None else [cache.relations[key].inner for key in known.collect_consequences()]

    def _touch(self, relations: Iterable[BaseRelation]) -> None:
        if getattr(self._here, "unwatched", False):
            return
        now = time.monotonic()
        with self._lock:
            for relation in relations:
                if relation.schema is None:
                    continue  # a temporary table: nobody else can see it
                key = _make_ref_key(relation)
                self._untold[key] = relation
                self._touched_at[key] = now
