"""Files of runs on a worker."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

from dbt_temporal.adapters.dbt_core.hosts.opener import HostOpener


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
