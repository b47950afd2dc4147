"""A worker is killed amid the copy to `latest/<project>/<target>`: by `run.json` nobody sees two runs'."""

from __future__ import annotations

import json

from tests.faults.phases.held import PHASES, HeldRun, HeldRuns, runs
from tests.integration.fixtures_buckets import s3_endpoint
from tests.integration.servers import wait_for

__all__ = ["runs", "s3_endpoint"]

FOLDER = "latest/pg/dev"
COPY = f"/{FOLDER}/run_results.json ".encode()


async def test_a_worker_that_is_killed_amid_the_copy_leaves_a_latest_run_that_is_whole(runs: HeldRuns) -> None:
    worker = await runs.worker()
    first = await runs.begin()
    await passes(first)
    assert (await first.run.outcome()).output is not None
    assert copies(runs) == {"manifest.json": first.id, "run_results.json": first.id}

    runs.door.keep_back(COPY)
    second = await runs.begin()
    await passes(second)

    async def amid_the_copy() -> bool:
        return COPY in runs.door.held and copies(runs)["manifest.json"] == second.id

    await wait_for(amid_the_copy, what="one file is copied and one is not")
    worker.process.kill()
    assert copies(runs) == {"manifest.json": second.id, "run_results.json": first.id}, "what a reader of both would see"
    assert json.loads(runs.bucket.get(f"{FOLDER}/run.json"))["invocation_id"] == second.id
    assert runs.artifacts(second.id)["metadata"]["invocation_id"] == second.id

    await runs.door.let_through(COPY)
    await runs.worker()
    outcome = await second.run.outcome()
    assert outcome.output is not None, outcome.message
    assert copies(runs) == {"manifest.json": second.id, "run_results.json": second.id}


async def passes(run: HeldRun) -> None:
    for phase in PHASES:
        await run.let_go(phase)


def copies(runs: HeldRuns) -> dict[str, str]:
    """Whose the files of the folder are, as each says itself."""
    return {
        name: json.loads(runs.bucket.get(f"{FOLDER}/{name}"))["metadata"]["invocation_id"]
        for name in ("manifest.json", "run_results.json")
    }
