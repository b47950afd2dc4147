"""Files of runs on a worker."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

from dbt_temporal.adapters.dbt_core.hosts.opener import HostOpener
from dbt_temporal.adapters.dbt_core.hosts.outcomes import KEPT_SECS, Outcomes, read_outcome
from dbt_temporal.adapters.dbt_core.process.execution.outcomes import keep_outcome
from dbt_temporal.domain.batches import BatchPart, step_name


async def test_files_of_runs_that_ended_elsewhere_go_after_a_while(tmp_path: Path) -> None:
    opener = HostOpener(cast(Any, None), tmp_path, None)
    await opener.remove_abandoned(set())  # before the first run, there is no folder
    for name in ("old", "old_with_host", "new"):
        (tmp_path / "runs" / name / "artifacts-1").mkdir(parents=True)
    long_ago = time.time() - 7200
    for name in ("old", "old_with_host"):
        os.utime(tmp_path / "runs" / name, (long_ago, long_ago))

    await opener.remove_abandoned({"old_with_host"})

    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["new", "old_with_host"]


async def test_artifacts_outlast_the_files_of_their_host(tmp_path: Path) -> None:
    opener = HostOpener(cast(Any, None), tmp_path, None)
    artifact = tmp_path / "runs" / "run" / "artifacts-1" / "manifest.json"
    for folder in (artifact.parent, tmp_path / "runs" / "run" / "key"):
        folder.mkdir(parents=True)
    artifact.touch()

    await opener.remove_files(("run", "key"))
    assert artifact.exists()
    assert not (tmp_path / "runs" / "run" / "key").exists()

    await opener.remove_run("run")
    assert not (tmp_path / "runs" / "run").exists()


def test_each_attempt_at_each_part_of_each_node_has_a_place_for_its_outcome(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    batch = BatchPart(stage="batch", index=1)
    places = {
        outcomes.place(run, step_name(node, part), attempt)
        for run in ("r1", "r2")
        for node in ("model.shop.a", "model.shop.b")
        for attempt in (1, 2)
        for part in (None, batch)
    }
    assert len(places) == 16
    place = outcomes.place("r1", step_name("model.shop.a", batch), 1)
    assert read_outcome(place) is None
    keep_outcome(place, {"log": "\ud800", "error": None})  # drivers give texts that are no UTF-8
    keep_outcome(place, {"log": "done", "error": None})
    assert read_outcome(place) == {"log": "done", "error": None}
    assert [each.name for each in place.parent.iterdir()] == [place.name]
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert place.stat().st_mode & 0o777 == 0o600


def test_outcomes_go_with_their_run_and_those_of_other_machines_runs_after_a_day(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path / "outcomes")
    outcomes.forget("nothing is there")
    for run in ("ended", "old", "under_way"):
        keep_outcome(outcomes.place(run, "model.shop.a", 1), {})
    long_ago = time.time() - KEPT_SECS - 60
    os.utime(tmp_path / "outcomes" / "old", (long_ago, long_ago))
    outcomes.forget("ended")
    assert [path.name for path in (tmp_path / "outcomes").iterdir()] == ["under_way"]
