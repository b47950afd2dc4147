"""One run in one host: what its requests share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.cli.flags import Flags
from dbt.contracts.graph.manifest import Manifest
from dbt.task.runnable import GraphRunnableTask

from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.events import EventRouter
from dbt_temporal.adapters.dbt_core.process.kept.graph import KeptGraph
from dbt_temporal.domain.run.invocation import DbtInvocation


@dataclass
class HostRun:
    """What the requests of a run share.

    Attributes:
        run_dir: a folder for what the run's dbt writes, which goes with this host; beside it lies what stays.
        kept: what hooks and nodes leave in Jinja's `graph`.
        lock: held while shared state of dbt changes.
        written: `files` of it are what dbt has written of nodes on this thread, where somebody wants to know.
        catalog: what dbt would ask the database for its catalog, by part, once that is known (`catalog_parts`).
    """

    project: bootstrap.ParsedProject
    invocation: DbtInvocation
    flags: Flags
    adapter: BaseAdapter
    task: GraphRunnableTask
    router: EventRouter
    run_dir: Path
    kept: KeptGraph
    lock: threading.RLock = field(default_factory=threading.RLock)
    written: threading.local = field(default_factory=threading.local)
    catalog: dict[str, list[Any]] | None = None

    @property
    def manifest(self) -> Manifest:
        return self.project.manifest

    @property
    def command(self) -> str:
        return self.invocation.input.command

    def own_paths(self, text: str) -> str:
        """A path or message, with the project's own target path where the one of this host stands."""
        return text.replace(str(self.project.config.target_path), self.project.own_target_path)

    def selected(self) -> frozenset[str]:
        """The unique_ids that dbt hands to `before_run`."""
        return frozenset(node.unique_id for node in self.task._flattened_nodes or [])


def is_ephemeral(node: Any) -> bool:
    """Whether a node is an ephemeral model, which dbt inlines instead of running it."""
    return bool(getattr(node, "is_ephemeral_model", False))
