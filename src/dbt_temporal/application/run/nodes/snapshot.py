"""What is carried of the nodes of a run: the snapshots of all that knows something of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbt_temporal.application.run.nodes.attempts import AttemptsProgress, NodeAttempts
from dbt_temporal.application.run.nodes.breaker import Breaker
from dbt_temporal.application.run.nodes.hold import Hold
from dbt_temporal.application.run.nodes.operations import NodeOperations
from dbt_temporal.application.run.nodes.waits import Waits


@dataclass(frozen=True)
class NodeParts:
    """All of them but the scheduler."""

    attempts: NodeAttempts
    breaker: Breaker
    operations: NodeOperations
    waits: Waits
    hold: Hold

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues."""
        return {
            "attempts": self.attempts.progress.model_dump(mode="json", exclude_defaults=True),
            "breaker": self.breaker.snapshot(),
            "operations": self.operations.snapshot(),
            "holds": self.waits.holds,
            "hold_finished": self.hold.finished,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continues where the snapshot was taken."""
        self.attempts.progress = AttemptsProgress.model_validate(snapshot["attempts"])
        self.breaker.restore(snapshot["breaker"])
        self.operations.restore(snapshot["operations"])
        for unique_id in snapshot["holds"]:
            self.waits.hold(unique_id)
        self.hold.finished = snapshot["hold_finished"]
