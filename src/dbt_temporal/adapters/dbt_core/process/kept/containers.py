"""The containers that are reached from Jinja's `graph`, by names that are the same in every host of a run."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

MUTATORS: dict[type, frozenset[str]] = {
    dict: frozenset({"setdefault", "update", "pop", "popitem", "clear"}),
    list: frozenset({"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"}),
    set: frozenset({"add", "update", "discard", "remove", "pop", "clear"})
    | {"difference_update", "intersection_update", "symmetric_difference_update"},
}
"""The kinds of containers, and their methods that change them."""

Ref = tuple[Any, ...]
"""ROOT and a path below it, of what dbt has made; else the order of the deed that brought it, and a number."""
Order = tuple[int, int]
"""How often the run had changed its host, and the number of the deed in that one."""

ROOT: Ref = ("graph",)
_CARRIED = ("agate.", "dbt.adapters.", "dbt.artifacts.", "dbt_common.", "datetime.", "decimal.", "uuid.", "pytz.")
"""Whose classes may be among the values: those that Jinja has in dbt, and that nobody changes."""
_OF_PYTHON = frozenset(
    {"builtins.set", "builtins.frozenset", "builtins.bytearray", "builtins.complex", "builtins.object"}
)
_HELPERS = frozenset({"copyreg._reconstructor", "copyreg.__newobj__", "pytz._UTC", "pytz._p"})


class NotCarriedError(Exception):
    """A value of a class that is not among those that other processes are given."""


class Containers:
    """Knows each container of one `graph`; those that it has named stay in memory, so that ids are theirs alone."""

    def __init__(self, graph: dict[str, Any]) -> None:
        self.graph = graph
        self._refs: dict[int, Ref] = {}
        self._by_ref: dict[Ref, Any] = {}
        self._entries: dict[Ref, Any] = {}
        self._entry_of: dict[int, Ref] = {}
        """The entry of dbt's that holds a container. All of its containers are named when one of them first matters:
        before anything of it has changed."""
        self._name(ROOT, graph)
        for name, section in graph.items():
            self._name((*ROOT, name), section)
            # dbt-core 1.12 has views there, which make a new dictionary of an entry whenever one is asked for.
            for key, entry in section.items() if type(section) is dict else ():
                place = (*ROOT, name, key)
                self._entries[place] = entry
                for container in walk(entry):
                    self._entry_of[id(container)] = place

    def ref(self, container: Any) -> Ref | None:
        """The name of a container; None for one that has nothing to do with `graph`."""
        known = self._refs.get(id(container))
        if known is None and id(container) in self._entry_of:
            self._name_entry(self._entry_of[id(container)])
            known = self._refs.get(id(container))
        return known

    def resolve(self, ref: Ref) -> Any:
        """The container of a name. Raises LookupError where there is none."""
        if ref not in self._by_ref and ref[: len(ROOT)] == ROOT:
            self._name_entry(ref[: len(ROOT) + 2])
        return self._by_ref[ref]

    def name_new(self, value: Any, order: Order) -> None:
        """Names the containers that a deed has brought."""
        for number, container in enumerate(list(walk(value))):
            if self.ref(container) is None:
                self._name((*order, number), container)

    def need(self, ref: Ref, needs: set[Order]) -> None:
        if ref[: len(ROOT)] != ROOT:
            needs.add(ref[:2])

    def write(self, value: Any, needs: set[Order]) -> bytes:
        """A value for `read`, by names of the containers that are known.

        Raises:
            Exception: it cannot be carried.
        """

        def name_of(each: Any) -> Ref | None:
            ref = self.ref(each) if type(each) in MUTATORS else self._refs.get(id(each))
            if ref is not None:
                self.need(ref, needs)
            return ref

        buffer = io.BytesIO()
        pickler = _Pickler(buffer, protocol=5)
        pickler.name_of = name_of
        pickler.dump(value)
        content = buffer.getvalue()
        self.read(content)
        return content

    def read(self, content: bytes) -> Any:
        return _Unpickler(io.BytesIO(content), self.resolve).load()

    def _name(self, ref: Ref, container: Any) -> None:
        self._refs[id(container)] = ref
        self._by_ref[ref] = container

    def _name_entry(self, place: Ref) -> None:
        stack = [(place, self._entries[place])]
        while stack:
            ref, value = stack.pop()
            if type(value) in MUTATORS and id(value) not in self._refs:
                self._name(ref, value)
                items = value.items() if isinstance(value, dict) else enumerate(value)
                stack.extend(((*ref, key), each) for key, each in items)


class _Pickler(pickle.Pickler):
    name_of: Callable[[Any], Ref | None]

    def persistent_id(self, each: Any) -> Ref | None:
        return self.name_of(each)


class _Unpickler(pickle.Unpickler):
    """Makes values of known kinds alone: parts come from the artifact store."""

    def __init__(self, source: io.BytesIO, resolve: Callable[[Ref], Any]) -> None:
        super().__init__(source)
        self._resolve = resolve

    def persistent_load(self, pid: Any) -> Any:
        return self._resolve(pid)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _HELPERS or full in _OF_PYTHON:
            return super().find_class(module, name)
        if full.startswith(_CARRIED):
            value = super().find_class(module, name)
            if isinstance(value, type):
                return value
        raise NotCarriedError(f"of a kind that is not carried: {full}")


def write_part(part: dict[str, Any]) -> bytes:
    return pickle.dumps(part, protocol=5)


def read_part(content: bytes) -> dict[str, Any]:
    part: dict[str, Any] = _Unpickler(io.BytesIO(content), _no_reference).load()
    return part


def _no_reference(ref: Ref) -> Any:
    raise pickle.UnpicklingError(f"a reference outside of a deed: {ref}")


def walk(value: Any) -> Iterator[Any]:
    """All containers in a value, each once, and before what it holds."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        each = stack.pop()
        if type(each) is tuple:
            stack.extend(each)
        elif type(each) in MUTATORS and id(each) not in seen:
            seen.add(id(each))
            yield each
            stack.extend(each.values() if isinstance(each, dict) else each)
