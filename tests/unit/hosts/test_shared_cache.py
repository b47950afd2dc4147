"""What one host changes in its relation cache, another one has when it has heard of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from dbt.adapters.base.relation import BaseRelation
from dbt.adapters.cache import RelationsCache
from dbt.adapters.contracts.relation import RelationType

from dbt_temporal.adapters.dbt_core.process.execution.shared_cache import SharedCache


def relation(name: str, kind: str = "view") -> BaseRelation:
    return BaseRelation.create(database="db", schema="main", identifier=name, type=RelationType(kind))


class Host:
    """An adapter's cache, filled with `names`, and this host's part of the shared one."""

    def __init__(self, *names: str) -> None:
        self.cache: Any = RelationsCache()
        self.cache.add_schema("db", "main")
        for name in names:
            self.cache.add(relation(name))
        self.shared = SharedCache(SimpleNamespace(cache=self.cache))
        self.shared.watch()

    def tells(self, *others: Host) -> None:
        changes = self.shared.changes()
        for other in others:
            other.shared.hear([changes] if changes else [])
            other.shared.catch_up()

    @property
    def known(self) -> dict[str, str]:
        return {each.identifier: str(each.type) for each in self.cache.get_relations("db", "main")}


def test_what_is_added_dropped_and_renamed_in_one_host_is_so_in_the_others() -> None:
    one, two, three = Host("a", "b"), Host("a", "b"), Host("a", "b")
    one.cache.add(relation("c", "table"))
    one.cache.drop(relation("a"))
    one.cache.rename(relation("b"), relation("d"))
    one.tells(two, three)
    assert one.known == two.known == three.known == {"c": "table", "d": "view"}


def test_what_is_heard_of_is_found_without_looking_through_all_relations(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Host("a", "b"), Host("a", "b")
    one.cache.drop(relation("a"))
    one.cache.add(relation("a", "table"))
    with monkeypatch.context() as patched:
        patched.setattr(two.cache, "get_relations", None)
        one.tells(two)
    assert two.known == {"a": "table", "b": "view"}


def test_a_relation_of_another_kind_is_so_elsewhere() -> None:
    one, two = Host("a"), Host("a")
    one.cache.rename(relation("a"), relation("a__dbt_backup"))
    one.cache.add(relation("a", "table"))
    one.cache.drop(relation("a__dbt_backup"))
    one.tells(two)
    assert two.known == {"a": "table"}


def test_what_falls_with_a_relation_falls_elsewhere_although_nothing_is_known_there_of_what_it_stood_on() -> None:
    one, two = Host("a", "on_top"), Host("a", "on_top")
    one.cache.add_link(relation("a"), relation("on_top"))
    one.cache.drop(relation("a"))
    one.tells(two)
    assert two.known == {}


def test_what_was_heard_is_not_told_again() -> None:
    one, two = Host(), Host()
    one.cache.add(relation("a"))
    one.tells(two)
    assert two.shared.changes() is None
    assert one.shared.changes() is None


def test_what_a_host_has_touched_since_is_not_undone_by_older_news() -> None:
    one, two = Host("a"), Host("a")
    one.cache.drop(relation("a"))
    two.cache.drop(relation("a"))
    two.cache.add(relation("a", "table"))
    one.tells(two)
    assert two.known == {"a": "table"}
    two.tells(one)
    assert one.known == {"a": "table"}


def test_news_that_cannot_be_taken_over_are_told_and_cost_no_others() -> None:
    one, two = Host("a"), Host("a")
    two.cache.drop = None
    one.cache.drop(relation("a"))
    one.cache.add(relation("b"))
    changes = one.shared.changes()
    assert changes is not None
    two.shared.hear([changes])
    assert not two.shared.catch_up()
    assert two.known == {"a": "view", "b": "view"}
    assert two.shared.catch_up()


def test_a_temporary_table_is_no_news_for_others() -> None:
    one = Host("a")
    temporary = BaseRelation.create(database=None, schema=None, identifier="a__dbt_tmp")
    one.cache.add(temporary)
    one.cache.drop(temporary)
    assert one.shared.changes() is None


def test_a_look_into_the_database_is_no_news_for_others() -> None:
    one = Host("a")
    with one.shared.unwatched():
        one.cache.drop(relation("a"))
    assert one.shared.changes() is None


@pytest.mark.parametrize("known", [True, False])
def test_relations_of_a_schema_that_a_host_has_not_cached_are_left_to_the_database(known: bool) -> None:
    one, two = Host("a"), Host("a")
    if not known:
        two.cache.clear()
    one.cache.add(relation("b"))
    one.tells(two)
    assert ("b" in two.known) is known
