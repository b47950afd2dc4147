"""Which nodes are to be skipped, and for whom, by dbt's rules (dbt/task/runnable.py, dbt/task/build.py, 1.10 to 1.12).

- `error` and `partial success` skip all descendants; `build` adds `fail` and `skipped`. `warn` never does.
- A unit test's failure skips its model. The model's own children follow the model.
- A model with `on_error: continue` (dbt-core 1.12) never skips its descendants.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from dbt_temporal.domain.results import NodeStatus
from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo
from dbt_temporal.domain.run.turns import SkippedNode

_SKIPPING = {"build": frozenset({"error", "fail", "skipped", "partial success"})}
_SKIPPING_ELSEWHERE = frozenset({"error", "partial success"})


class Doom:
    """The doomed nodes of one run. A node is doomed when one above it ends badly, and skipped at its turn.

    Args:
        nodes: the plan's nodes.
        ephemerals: the plan's ephemeral models.
        followers: by node and ephemeral model, all that waits for it.
        command: dbt's command, which decides what a failed test means; None where nothing dooms anybody.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeInfo],
        ephemerals: Mapping[str, EphemeralTurn],
        followers: Mapping[str, list[str]],
        command: str | None,
    ) -> None:
        self._nodes = nodes
        self._ephemerals = ephemerals
        self._followers = followers
        self._skipping = frozenset() if command is None else _SKIPPING.get(command, _SKIPPING_ELSEWHERE)
        self._is_told = command is None
        self._causes: dict[str, str] = {}
        self._behind: dict[str, str] = {}
        self._behind_if_failed: dict[str, str] = {}
        self._swept: dict[str, None] = {}
        self._sources: list[str] = []

    def __contains__(self, unique_id: object) -> bool:
        return unique_id in self._causes

    def ended(self, unique_id: str, word: str) -> None:
        """A node or an ephemeral model has ended, with dbt's word: dooms what is below it, where that is dbt's rule."""
        node = self._ephemerals.get(unique_id) or self._nodes[unique_id]
        is_model = isinstance(node, EphemeralTurn) or node.resource_type == "model"
        if not (is_model and node.on_error == "continue") and word in self._skipping:
            self.spread(unique_id)

    def spread(self, unique_id: str) -> None:
        """Dooms all below a node."""
        if self._is_told:
            return
        self._sources.append(unique_id)
        cause = self._causes.get(unique_id, unique_id)
        followers = self._followers[unique_id]
        is_unit_test = self._is_unit_test(unique_id)
        if is_unit_test:
            # That of an ephemeral model dooms the model, which then dooms its children in its turn.
            followers = [child for child in followers if child in self._ephemerals] or followers
        for child in followers:  # dbt names the last of those above (dbt/task/runnable.py, _mark_dependent_errors)
            if unique_id in self._ephemerals and not self._is_unit_test(child):
                self._behind[child] = unique_id
            else:
                self._behind.pop(child, None)
        for child in self._marked_by(unique_id) if self._behind_if_failed else ():
            self._behind_if_failed.pop(child, None)
        if is_unit_test:
            for child in followers:
                self._causes.setdefault(child, cause)
            return
        to_sweep = [unique_id]
        while to_sweep:
            for child in self._followers[to_sweep.pop()]:
                self._causes.setdefault(child, cause)
                if child not in self._swept:
                    self._swept[child] = None
                    to_sweep.append(child)

    def passes(self, unique_id: str) -> None:
        """An ephemeral model has its turn. Whether it compiles is known when somebody uses it, or at the run's end."""
        for child in self._marked_by(unique_id):
            if not self._is_unit_test(child):
                self._behind_if_failed[child] = unique_id

    def take_back(self, unique_ids: Collection[str]) -> None:
        """Forgets that these have ended: what is doomed for nobody else is doomed no more."""
        sources = [source for source in self._sources if source not in unique_ids]
        later = {child: last for child, last in self._behind_if_failed.items() if last not in unique_ids}
        for past in (self._causes, self._behind, self._behind_if_failed, self._swept, self._sources):
            past.clear()
        self.restore({"sources": sources, "behind_if_failed": later})

    def below(self, unique_ids: Iterable[str]) -> dict[str, None]:
        """All that waits for these, through whatever lies between."""
        found: dict[str, None] = {}
        to_follow = list(unique_ids)
        while to_follow:
            new = [child for child in self._followers[to_follow.pop()] if child not in found]
            found |= dict.fromkeys(new)
            to_follow += new
        return found

    def skipped(self, unique_id: str, ended: Mapping[str, NodeStatus]) -> SkippedNode | None:
        """How a doomed node is skipped, where others have `ended` so; None where it is not doomed."""
        cause = self._causes.get(unique_id)
        if cause is None:
            return None
        how = {"cancelled": "was cancelled", "skipped": "was skipped"}.get(ended.get(cause, "skipped"), "failed")
        behind, if_failed = self._behind.get(unique_id), self._behind_if_failed.get(unique_id)
        return SkippedNode(unique_id, f"{cause} {how}", cause, behind, if_failed)

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues: all whose ends have doomed others, in order."""
        return {"sources": list(self._sources), "behind_if_failed": dict(self._behind_if_failed)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continues where the snapshot was taken. Whom they doom follows from the edges that there are now."""
        for source in snapshot["sources"]:
            self.spread(source)
        self._behind_if_failed.update(snapshot["behind_if_failed"])

    def _marked_by(self, unique_id: str) -> Iterable[str]:
        """The nodes that have their cause from this one if it fails. Where skips mark as failures do, those that wait
        for it are skipped first, and are the cause of the others."""
        return self._followers[unique_id] if "skipped" in self._skipping else self.below([unique_id])

    def _is_unit_test(self, unique_id: str) -> bool:
        node = self._nodes.get(unique_id)
        return node is not None and node.resource_type == "unit_test"
