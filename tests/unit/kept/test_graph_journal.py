"""What templates do to `graph` is written down, and done again elsewhere, exactly and by those alone who have ended."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from dbt.adapters.base.relation import BaseRelation
from dbt.contracts.graph.manifest import Manifest
from dbt_common.clients.jinja import MacroFuzzEnvironment, get_environment

from dbt_temporal.adapters.dbt_core.process.kept.journal import CannotBeCarriedError, GraphJournal

OWN = {"nodes": {"model.a": {"meta": {"tags": ["x"]}, "columns": {}}, "model.b": {"meta": {}}}, "sources": {}}


class Host:
    """A process of a run: a `graph` of its own, templates that see it, and a journal."""

    def __init__(self) -> None:
        self.manifest = Manifest()
        self.manifest.flat_graph = copy.deepcopy(OWN)
        self.journal = GraphJournal(self.manifest)
        self.journal.watch()

    @property
    def graph(self) -> dict[str, Any]:
        graph: dict[str, Any] = self.manifest.flat_graph
        return graph

    def does(self, owner: str, text: str, **names: Any) -> None:
        with self.journal.owned_by(owner):
            get_environment(None).from_string(text).render({"graph": self.graph, **names})

    def ended(self, *owners: str) -> dict[int, bytes]:
        return dict(part for owner in owners if (part := self.journal.ended(owner)) is not None)


@pytest.fixture(autouse=True)
def _unwatched() -> Iterator[None]:
    call = MacroFuzzEnvironment.call
    yield
    MacroFuzzEnvironment.call = call


def successor(parts: dict[int, bytes], *without: str) -> Host:
    host = Host()
    host.journal.take_over(parts, without)
    return host


START = """
{% set lines = [] %}
{% do graph.setdefault('kept', {'lines': lines, 'seen': set(), 'by': {}}) %}
{% do lines.append('first') %}
"""


@pytest.mark.parametrize(
    "text",
    [
        "{% do graph.kept.lines.extend(['b', 'a'] | map('upper')) %}{% do graph.kept.lines.sort() %}",
        "{% do graph['kept']['lines'].insert(0, {'deep': [1]}) %}{% do graph.kept.lines[0].deep.append((2, 3)) %}",
        "{% set by = graph.kept.by %}{% do by.update(a=1, b=2) %}{% do by.pop('a') %}{% do graph.kept.lines.pop() %}",
        "{% do graph.kept.seen.update([1, 2]) %}{% do graph.kept.seen.discard(1) %}",
        "{% do graph.nodes['model.a'].meta.tags.append('y') %}{% do graph.nodes.pop('model.b') %}",
        "{% for node in graph.nodes.values() %}{% do node.update({'seen': true}) %}{% endfor %}",
        "{% do graph.update({'alias': graph.nodes['model.a'].meta}) %}{% do graph.alias.tags.clear() %}",
        "{% do graph.kept.by.setdefault('x', []).append(1) %}{% do graph.kept.by.setdefault('x', ['no']) %}",
        "{% set tags = graph.nodes['model.a'].meta.tags %}{% do tags.insert(0, {}) %}{% do tags[0].update(n=1) %}",
    ],
)
def test_another_host_has_the_same_graph(text: str) -> None:
    host = Host()
    host.does("on-run-start", START, set=set)
    host.does("model.a", text)
    other = successor(host.ended("on-run-start", "model.a"))
    assert other.graph == host.graph
    assert host.graph != OWN
    assert pickle.dumps(other.graph["kept"]["lines"]) == pickle.dumps(host.graph["kept"]["lines"])


def test_two_names_of_one_thing_stay_two_names_of_one_thing() -> None:
    host = Host()
    host.does("s", "{% set l = [] %}{% do graph.update(a=l, n=graph.nodes['model.a']) %}{% do graph.update(b=l) %}")
    parts = host.ended("s")
    second = successor(parts)
    assert second.graph["a"] is second.graph["b"]
    assert second.graph["n"] is second.graph["nodes"]["model.a"]
    second.does("m", "{% do graph.a.append(1) %}")
    assert successor(parts | second.ended("m")).graph["b"] == [1]


def test_sections_that_are_views_of_dbts_own_are_left_alone_and_carried_by_their_names() -> None:
    class View(Mapping[str, Any]):  # as in dbt-core 1.12
        def __getitem__(self, key: str) -> Any:
            raise AssertionError(key)

        def __iter__(self) -> Iterator[str]:
            return iter(["model.a"])

        def __len__(self) -> int:
            return 1

    host, other = Host(), Host()
    for each in (host, other):
        each.manifest.flat_graph = {"nodes": View()}
    host.does("s", "{% do graph.update(own=[graph.nodes]) %}")
    other.journal.take_over(host.ended("s"), ())
    assert other.graph["own"][0] is other.graph["nodes"]


def test_objects_of_dbt_and_python_values_are_carried_as_they_are() -> None:
    values = {
        "relation": BaseRelation.create(database="d", schema="s", identifier="i"),
        "number": Decimal("1.10"),
        "day": date(2026, 1, 1),
        "key": {1: True, None: 2**80, "text": "\ud800"},
    }
    host = Host()
    host.does("s", "{% do graph.update(values=values) %}", values=values)
    carried = successor(host.ended("s")).graph["values"]
    assert carried == values
    assert [type(value) for value in carried.values()] == [type(value) for value in values.values()]


def test_what_a_node_did_that_has_not_ended_is_not_done_again() -> None:
    host = Host()
    host.does("s", START, set=set)
    host.does("lost", "{% do graph.kept.lines.append('lost') %}")
    host.does("ended", "{% do graph.kept.lines.append('ended') %}")
    assert successor(host.ended("s", "ended")).graph["kept"]["lines"] == ["first", "ended"]


def test_what_a_node_brought_that_has_not_ended_stays_where_others_have_used_it() -> None:
    host = Host()
    host.does("lost", "{% do graph.setdefault('cache', {}) %}{% do graph.cache.update(lost=1) %}")
    host.does("ended", "{% do graph.setdefault('cache', {}) %}{% do graph.cache.update(ended=1) %}")
    assert successor(host.ended("ended")).graph["cache"] == {"ended": 1}


def test_a_node_that_is_run_again_elsewhere_leaves_its_things_once() -> None:
    host = Host()
    host.does("s", START, set=set)
    host.does("a", "{% do graph.kept.lines.append('a') %}")
    parts = host.ended("s", "a")  # its end was told to a worker that was lost with it
    second = successor(parts, "a")
    second.does("a", "{% do graph.kept.lines.append('a') %}")
    parts |= second.ended("a")
    assert successor(parts).graph["kept"]["lines"] == ["first", "a"]


def test_what_is_left_out_stays_out_where_the_next_host_dies_before_anything_has_ended_there() -> None:
    host = Host()
    host.does("a", "{% do graph.setdefault('lines', []).append('a') %}")
    parts = host.ended("a")
    begun = Host().journal.take_over(parts, ["a"])
    third = successor(parts | dict([begun]))
    assert third.graph == OWN


def test_what_a_host_tells_after_the_run_has_left_it_does_not_count() -> None:
    host = Host()
    host.does("s", START, set=set)
    parts = host.ended("s")
    second = successor(parts)
    host.does("late", "{% do graph.kept.lines.append('late') %}")
    second.does("a", "{% do graph.kept.lines.append('a') %}")
    parts |= second.ended("a") | {7: host.ended("late")[2]}
    assert successor(parts).graph["kept"]["lines"] == ["first", "a"]


def test_threads_write_at_the_same_time() -> None:
    host = Host()
    host.does("s", START, set=set)

    def note(owner: str) -> None:
        for number in range(50):
            host.does(owner, "{% do graph.kept.lines.append(number) %}", number=number)

    threads = [threading.Thread(target=note, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert successor(host.ended("s", *"abcd")).graph == host.graph


@pytest.mark.parametrize(
    "text",
    [
        "{% do graph.update(n=namespace(count=1)) %}",
        "{% do graph.update(f=cycler('a', 'b')) %}",
        "{% do graph.update(m=nothing_of_that_name) %}",
    ],
)
def test_what_cannot_be_carried_stays_in_its_host_and_no_other_one_goes_on_without_it(text: str) -> None:
    host = Host()
    host.does("model.a", text)
    assert len(host.graph) == len(OWN) + 1
    with pytest.raises(CannotBeCarriedError, match=r"model\.a has called update\(\)"):
        successor(host.ended("model.a"))


def test_a_part_with_a_secret_or_of_a_stranger_is_refused() -> None:
    with pytest.raises(CannotBeCarriedError, match="secret"):
        successor({1: b""})
    with pytest.raises(CannotBeCarriedError, match=r"not carried: posix\.system"):
        successor({1: b"cposix\nsystem\n(S'true'\ntR."})


def test_nothing_is_told_of_a_run_that_leaves_graph_alone() -> None:
    host = Host()
    host.does("a", "{% set own = [] %}{% do own.append(graph.nodes | length) %}{% do {'x': 1}.update(y=2) %}")
    assert host.ended("a") == {}
    assert not host.journal.keys
