"""The parts of a microbatch model, each by dbt's own code.

dbt runs the batches of a model within its runner; here each is a step of the run, on whichever worker. The runner's
`execute` is replaced by the part of it that a step does: find the batches, run one, join their results.
Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `MicrobatchModelRunner.get_batches`, `_has_relation`,
`_is_incremental`, `_initial_run_microbatch_model_result`, `merge_batch_results`,
`_update_result_with_unfinished_batches`; `RunTask._submit_batch`; `MicrobatchBatchRunner.should_run_in_parallel`.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

from dbt.artifacts.schemas.batch_results import BatchResults
from dbt.artifacts.schemas.results import RunStatus
from dbt.artifacts.schemas.run import RunResult
from dbt.materializations.incremental.microbatch import MicrobatchBuilder
from dbt.task.run import MicrobatchBatchRunner, MicrobatchModelRunner

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.domain.batches import Batches, BatchPart, EndedBatch, Window

Batch = tuple[datetime | None, datetime]


class OwnThread:
    """What dbt asks its thread pool while it runs a batch, where that is done on the step's own thread.

    Args:
        cancelled: set where batches that have not begun shall not begin.
    """

    max_threads = 1
    max_microbatch_models = 1

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    def is_closed(self) -> bool:
        return self._cancelled.is_set()


class PartOfModel:
    """Does a part of a microbatch model in place of its runner's `execute`.

    Attributes:
        found: the batches, after `begin`.
        ended: the batch, after `batch`.
    """

    def __init__(self, run: HostRun, runner: MicrobatchModelRunner, part: BatchPart | None, pool: OwnThread) -> None:
        self._run = run
        self._runner = runner
        self._part = part
        self.found: Batches | None = None
        self.ended: EndedBatch | None = None
        runner.set_parent_task(run.task)
        runner.set_pool(pool)
        runner.execute = self.execute
        if part is not None and part.stage != "begin":
            run.task.run_count -= 1  # the model was counted as it began
            runner.node_index = max(run.task.run_count, 1)
        # One line of the model's start, and one of its end.
        if part is not None and part.stage != "begin":
            runner.before_execute = lambda: None
        if part is not None and part.stage != "end":
            runner.after_execute = lambda _result: None

    def facts(self, exception: BaseException | None) -> dict[str, Any]:
        """Fields of the small result: what the part has found, and why a batch failed, of which dbt keeps no word."""
        if self._part is None or self.ended is None:
            return {"batches": self.found} if self.found is not None else {}
        if self.ended.status == RunStatus.Success or exception is None:
            return {"batch": self.ended}
        message = str(exception).strip()
        return {"batch": self.ended.model_copy(update={"message": message}), "message": message}

    def seconds(self, measured: float) -> float:
        """How long the part took; of the last one, how long all batches did."""
        ended = self._part.ended if self._part is not None and self._part.stage == "end" else []
        return sum((batch.execution_time for batch in ended), start=measured)

    def execute(self, model: Any, _manifest: Any) -> RunResult:
        """The part's result; of a run that was planned without parts, the whole model's."""
        if self._part is None:
            return self._whole(model)
        if self._part.stage == "begin":
            self.found = self._find(model)
            return self._runner._initial_run_microbatch_model_result(model=model)
        if self._part.stage == "batch":
            return self._run_batch(model, self._part)
        return self._join(model, self._part.batches, self._part.ended)

    def _find(self, model: Any) -> Batches:
        batches = self._runner.get_batches(model=model).values()
        return Batches(
            windows=[_window(batch) for batch in batches],
            names=[str(MicrobatchBuilder.format_batch_start(batch[0], model.config.batch_size)) for batch in batches],
            relation_exists=self._runner._has_relation(model=model),
            incremental=self._runner._is_incremental(model=model),
        )

    def _run_batch(self, model: Any, part: BatchPart) -> RunResult:
        assert part.window is not None
        # Of the others dbt asks only how many there are.
        batches = dict.fromkeys(range(part.count), _batch(part.window))
        results: list[RunResult] = []
        exists = self._run.task._submit_batch(
            node=model,
            adapter=self._runner.adapter,
            relation_exists=part.relation_exists,
            batches=batches,
            batch_idx=part.index,
            batch_results=results,
            pool=self._runner.pool,
            force_sequential_run=True,
            incremental_batch=part.incremental,
        )
        (result,) = results
        self.ended = EndedBatch(
            index=part.index,
            status=str(result.status),
            execution_time=result.execution_time,
            relation_exists=bool(exists),
            side_by_side=self._side_by_side(model, batches, part.index, bool(exists)),
        )
        return result

    def _side_by_side(self, model: Any, batches: dict[int, Batch], index: int, relation_exists: bool) -> bool:
        run, config = self._run, self._runner.config
        further = MicrobatchBatchRunner(
            config, self._runner.adapter, model, 0, run.task.num_nodes, index, batches, relation_exists, True
        )
        return bool(further.should_run_in_parallel())

    def _join(self, model: Any, found: Batches, ended: list[EndedBatch]) -> RunResult:
        result = self._runner._initial_run_microbatch_model_result(model=model)
        if not found.windows:
            return result
        batches = {number: _batch(window) for number, window in enumerate(found.windows)}
        self._runner.merge_batch_results(result, [_result(model, batch, batches[batch.index]) for batch in ended])
        if len(ended) < len(batches):
            self._runner._update_result_with_unfinished_batches(result, batches)
        return result

    def _whole(self, model: Any) -> RunResult:
        found = self._find(model)
        ended: list[EndedBatch] = []
        exists = found.relation_exists
        for index in range(len(found.windows)):
            if self._runner.pool.is_closed():
                break
            if ended and ended[0].status != "success":
                ended.append(EndedBatch(index=index, status="skipped"))
                continue
            self._run_batch(model, found.step(index, exists))
            assert self.ended is not None
            ended.append(self.ended)
            exists = exists or self.ended.relation_exists
        return self._join(model, found, ended)


def _result(model: Any, ended: EndedBatch, batch: Batch) -> RunResult:
    """A batch's result, with what is merged of it."""
    succeeded = ended.status == RunStatus.Success
    return RunResult(
        node=model,
        status=RunStatus.Success if succeeded else RunStatus.Error,
        timing=[],
        thread_id=threading.current_thread().name,
        execution_time=ended.execution_time,
        message="",
        adapter_response={},
        failures=0 if succeeded else 1,
        batch_results=BatchResults(successful=[batch]) if succeeded else BatchResults(failed=[batch]),
    )


def _window(batch: Batch) -> Window:
    start, end = batch
    return start.isoformat() if start else None, end.isoformat()


def _batch(window: Window) -> Batch:
    start, end = window
    return datetime.fromisoformat(start) if start else None, datetime.fromisoformat(end)
