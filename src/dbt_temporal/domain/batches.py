"""The batches of a microbatch model: each is a step of the run, between one that finds them and one that joins them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Window = tuple[str | None, str]
"""Start and end of event time, RFC 3339; dbt's start may be missing."""


class Batches(BaseModel):
    """What dbt's own builder has found before the first batch.

    Attributes:
        windows: of the batches, in order.
        names: as dbt calls them in its messages, such as `2026-01-31`.
        relation_exists: whether the model's relation is there.
        incremental: whether the first batch adds to it.
    """

    model_config = ConfigDict(frozen=True)

    windows: list[Window] = Field(default_factory=list)
    names: list[str] = Field(default_factory=list)
    relation_exists: bool = False
    incremental: bool = False

    def step(self, index: int, relation_exists: bool) -> BatchPart:
        """The step that runs one of them; `relation_exists` is whether the model's relation is there by now."""
        return BatchPart(
            stage="batch",
            index=index,
            count=len(self.windows),
            window=self.windows[index],
            name=self.names[index],
            incremental=index > 0 or self.incremental,
            relation_exists=relation_exists,
        )


class EndedBatch(BaseModel):
    """How one batch ended.

    Attributes:
        index: which one.
        status: dbt's word.
        execution_time: seconds.
        relation_exists: whether the model's relation is there now.
        side_by_side: whether the batches between the first and the last may run at the same time, by dbt's rule.
        message: what went wrong.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    status: str
    execution_time: float = 0.0
    relation_exists: bool = False
    side_by_side: bool = False
    message: str | None = None


class BatchPart(BaseModel):
    """Which part of a microbatch model a step does.

    Attributes:
        stage: `begin` finds the batches, `batch` runs one, `end` joins their results to that of the model.
        index: the batch to run. What is said of it is said of it alone: a model may have thousands of batches.
        count: how many batches there are.
        window: of the batch.
        name: of the batch.
        incremental: whether the batch adds to the model's relation.
        relation_exists: whether the model's relation is there by now.
        batches: what `begin` has found, for `end`.
        ended: the batches that have ended, for `end`.
    """

    model_config = ConfigDict(frozen=True)

    stage: Literal["begin", "batch", "end"]
    index: int = 0
    count: int = 0
    window: Window | None = None
    name: str = ""
    incremental: bool = False
    relation_exists: bool = False
    batches: Batches = Field(default_factory=Batches)
    ended: list[EndedBatch] = Field(default_factory=list)


class BatchResults(BaseModel):
    """dbt's summary of a model's batches, as run_results.json has it."""

    successful: list[Window] = Field(default_factory=list)
    failed: list[Window] = Field(default_factory=list)


def step_name(unique_id: str, part: BatchPart | None) -> str:
    """What tells a node's step from all others of its run, whichever attempt it is."""
    return unique_id if part is None else f"{unique_id} {part.stage} {part.index}"
