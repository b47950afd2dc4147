"""A short form of `make soak`: each of its faults once."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.databases.own_server import own_postgres
from tests.faults.soak import FAULTS, Soak

SEED = 12


async def test_after_every_fault_there_is_what_the_run_says(tmp_path: Path) -> None:
    with own_postgres() as server:
        async with Soak(tmp_path, server, random.Random(SEED), print) as runs:
            for fault in FAULTS:
                await runs.one_run(fault)
            assert runs.wrong == []
