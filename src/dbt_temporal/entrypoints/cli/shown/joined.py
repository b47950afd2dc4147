"""What is known of times when somebody begins to look at a run that is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Joined:
    """For how long what is under way has been so.

    Attributes:
        run_secs: the run.
        attempt_secs: attempts at nodes, by the ids of their activities: a node's label or unique_id, of a batch with
            its name behind a slash.
    """

    run_secs: float
    attempt_secs: Mapping[str, float] = field(default_factory=dict)

    def secs_of(self, unique_id: str) -> float | None:
        """Of a node that runs, of its longest-running batch where it has batches; None where nothing tells."""
        kind, _, rest = unique_id.partition(".")
        parts = rest.split(".")[1:]
        # Labels have a node's name alone: the unique_id may end with a hash or a version.
        names = {unique_id} | {f"{kind}:{'.'.join(parts[first:])}" for first in range(len(parts))}
        names |= {f"{kind}:{'.'.join(parts[:last])}" for last in range(1, len(parts))}
        names |= {f"{kind}:{part}" for part in parts}
        found = [secs for name, secs in self.attempt_secs.items() if name.partition("/")[0] in names]
        return max(found, default=None)
