"""`python -m tests.faults --minutes 30 --seed 7`: runs with random faults, until the time is up or one was wrong."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.databases.own_server import own_postgres
from tests.faults.soak import FAULTS, LONG_FAULTS, Soak

LONG_MINUTES = 20
"""From here on there is time for faults that take minutes."""


async def soak(seed: int, minutes: float, *, go_on: bool) -> list[str]:
    """Does runs, and returns what was wrong with them."""
    faults = FAULTS + (LONG_FAULTS if minutes >= LONG_MINUTES else [])
    chance = random.Random(seed)
    with own_postgres() as server, TemporaryDirectory() as folder:
        until = time.monotonic() + 60 * minutes
        number = 0
        async with Soak(Path(folder), server, chance, lambda text: _tell(number, text)) as runs:
            while time.monotonic() < until and (go_on or not runs.wrong):
                number += 1
                await runs.one_run(chance.choice(faults))
            return runs.wrong


def _tell(number: int, text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} run {number}: {text}", flush=True)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the faults")
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--go-on", action="store_true", help="do not end at the first run that is wrong")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    wrong = asyncio.run(soak(arguments.seed, arguments.minutes, go_on=arguments.go_on))
    for text in wrong:
        print(f"WRONG (seed {arguments.seed}): {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
