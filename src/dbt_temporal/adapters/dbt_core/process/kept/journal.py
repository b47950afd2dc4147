"""What hooks and nodes leave in Jinja's `graph`: written down as it is done, and done again in another host.

`graph` is one dictionary for a whole invocation of dbt, so packages keep state in it. Templates change what they reach
by methods of dict, list and set alone, and the sandbox sees each call of theirs. What a node has done counts once it
has ended: a node that is lost with its host does it again elsewhere.

Touches of internals, checked on dbt-core 1.11.16 and 1.12.0: `MacroFuzzEnvironment.call` (of jinja2's sandbox), and
`Manifest.flat_graph`, which `defer_to_manifest` makes anew.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbt.contracts.graph.manifest import Manifest
from dbt_common.clients.jinja import MacroFuzzEnvironment

from dbt_temporal.adapters.dbt_core.process.kept.containers import (
    MUTATORS,
    ROOT,
    Containers,
    NotCarriedError,
    Order,
    Ref,
    read_part,
    write_part,
)

_TAKE_ANY_ITERABLE = frozenset({"extend", "update", "difference_update", "intersection_update"})
_OF_JINJA = ("_loop_vars", "_block_vars")
"""Arguments that are between Jinja's compiler and its contexts."""
_ABOUT_OTHERS = (KeyError, IndexError, ValueError)
"""What a deed raises when it is done again, where it was about something of a node that had not ended."""


class CannotBeCarriedError(Exception):
    """Something in `graph` that no other process can be given as it is."""


@dataclass
class Deed:
    """One call of a method that has changed something in `graph`.

    Attributes:
        order: its place among all of the run.
        owner: the node or hook that did it, or None.
        target: the container.
        method: of the container.
        arguments: pickled.
        needs: the deeds that brought the containers that this one refers to.
    """

    order: Order
    owner: str | None
    target: Ref
    method: str
    arguments: bytes
    needs: set[Order] = field(default_factory=set)


class GraphJournal:
    """The journal of one host. Threads may write it at the same time.

    Attributes:
        keys: the names at the top of `graph` below which it was changed, for messages.
        problem: why no other process can have what is in `graph`; None where it can.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._lock = threading.RLock()
        self._thread = threading.local()
        self._basis: dict[str, set[Any]] = {"basis": set(), "left_out": set()}
        """The parts that this host has begun with, and what of them it has not done."""
        self._generation = 0
        self._next_part = 1
        self._begin({})

    def watch(self) -> None:
        """Sees all calls that templates of this process make from now on."""
        call = MacroFuzzEnvironment.call

        def watched_call(environment: Any, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            methods = MUTATORS.get(type(getattr(function, "__self__", None)))
            if methods is None or function.__name__ not in methods:
                return call(environment, context, function, *args, **kwargs)
            return self._changing(
                function, args, kwargs, lambda given: call(environment, context, function, *given, **kwargs)
            )

        MacroFuzzEnvironment.call = watched_call

    @property
    def owner(self) -> str | None:
        """Whose doing it is what this thread does."""
        return getattr(self._thread, "owner", None)

    @contextlib.contextmanager
    def owned_by(self, owner: str | None) -> Iterator[None]:
        """Has what this thread does within the block be this node's or hook's doing."""
        before, self._thread.owner = self.owner, owner
        try:
            yield
        finally:
            self._thread.owner = before

    def ended(self, owner: str) -> tuple[int, bytes] | None:
        """The part of the journal that the run has with the end of this node or hook, under its number; None where it
        has done nothing."""
        with self._lock:
            mine = {order for order, deed in self._open.items() if deed.owner in (owner, None)}
            if not mine and not self.problem:
                return None
            # What a node that goes on has brought, and this one has changed, is there for good.
            mine = _with_needs(mine, self._open)
            return self._part([self._open.pop(order) for order in sorted(mine)])

    def take_over(self, contents: Mapping[int, bytes], without: Collection[str]) -> tuple[int, bytes]:
        """Does again what the run had done in other hosts.

        Args:
            contents: the parts of the run's journal, by their numbers.
            without: nodes that will do again what they have done.

        Returns:
            A further part, which says what this host has begun with.

        Raises:
            CannotBeCarriedError: with the reason.
        """
        if not all(contents.values()):
            raise CannotBeCarriedError("it holds the value of a secret, which is kept in no other place")
        try:
            parts = {number: read_part(content) for number, content in contents.items()}
        except Exception as error:
            raise CannotBeCarriedError(f"it cannot be read: {error}") from error
        newest = max((part["generation"] for part in parts.values()), default=-1)
        # Not those of a host that the run had left by then.
        counting = {number for number, part in parts.items() if part["generation"] == newest}
        counting |= {number for number in parts if any(number in parts[each]["basis"] for each in counting)}
        deeds = {deed["order"]: Deed(**deed) for number in counting for deed in parts[number]["deeds"]}
        left_out = {order for part in parts.values() if part["generation"] == newest for order in part["left_out"]}
        again = {order for order, deed in deeds.items() if deed.owner is None or deed.owner not in without} - left_out
        again = _with_needs(again, deeds)
        with self._lock:
            self._begin(self._manifest.flat_graph)
            problem = next((part["problem"] for part in parts.values() if part["problem"]), None)
            if problem:
                raise CannotBeCarriedError(problem)
            for order in sorted(again):
                self._do_again(deeds[order])
            self._generation = newest + 1
            self._basis = {"basis": counting, "left_out": deeds.keys() - again}
            self._next_part = max(parts, default=0) + 1
            return self._part([])

    def _part(self, deeds: list[Deed]) -> tuple[int, bytes]:
        number, self._next_part = self._next_part, self._next_part + 1
        part = {"generation": self._generation, "problem": self.problem, "deeds": [vars(deed) for deed in deeds]}
        return number, write_part(part | self._basis)

    def _begin(self, graph: dict[str, Any]) -> None:
        """Starts with a `graph` that nobody has changed."""
        self._containers = Containers(graph)
        self._count = 0
        self._open: dict[Order, Deed] = {}
        self.problem: str | None = None
        self.keys: dict[str, None] = {}

    def _changing(
        self, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], call: Callable[[tuple[Any, ...]], Any]
    ) -> Any:
        with self._lock:
            if self._containers.graph is not self._manifest.flat_graph:
                self._begin(self._manifest.flat_graph)
            kept = {name: value for name, value in kwargs.items() if name not in _OF_JINJA}
            target = self._containers.ref(method.__self__)
            if target is not None and not (method.__name__ == "setdefault" and args and args[0] in method.__self__):
                return self._write_down(target, method.__name__, args, kept, call)
        return call(args)

    def _write_down(
        self,
        target: Ref,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        call: Callable[[tuple[Any, ...]], Any],
    ) -> Any:
        if method in _TAKE_ANY_ITERABLE:  # which can be read once only
            args = tuple(list(each) if isinstance(each, Iterator) else each for each in args)
        self._count += 1
        deed = Deed((self._generation, self._count), self.owner, target, method, b"")
        self._note_keys(target, args, kwargs)
        try:
            deed.arguments = self._containers.write((args, kwargs), deed.needs)
        except Exception as error:  # a value's own code may raise anything
            # Not what others say: they may show the value, which may be a secret.
            why = str(error) if isinstance(error, NotCarriedError) else "that cannot be pickled"
            self.problem = self.problem or f"{deed.owner or 'dbt'} has called {method}() with a value {why}"
            return call(args)
        self._containers.need(target, deed.needs)
        answer = call(args)
        self._containers.name_new((args, kwargs), deed.order)
        self._open[deed.order] = deed
        return answer

    def _do_again(self, deed: Deed) -> None:
        args, kwargs = self._containers.read(deed.arguments)
        with contextlib.suppress(*_ABOUT_OTHERS):
            getattr(self._containers.resolve(deed.target), deed.method)(*args, **kwargs)
        self._note_keys(deed.target, args, kwargs)
        self._containers.name_new((args, kwargs), deed.order)

    def _note_keys(self, target: Ref, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if target == ROOT:
            first = args[0] if args else ()
            names = [*kwargs, *(first if isinstance(first, dict | list) else [first] if args else ())]
            self.keys.update((str(name), None) for name in names)
        elif target[: len(ROOT)] == ROOT:
            self.keys[str(target[len(ROOT)])] = None


def _with_needs(orders: set[Order], deeds: Mapping[Order, Deed]) -> set[Order]:
    """Deeds with those that they need, as far as they are among `deeds`."""
    whole = set(orders)
    more = whole
    while more:
        more = {needed for order in more for needed in deeds[order].needs if needed in deeds} - whole
        whole |= more
    return whole
