"""Reading a run's records back at its end: from a folder, and from an S3 server (moto) on this machine.

What exactly is measured: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3  # type: ignore[import-untyped]

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.application.ports.engine import NodeOutcome
from dbt_temporal.application.stored.run_files import RunFiles
from dbt_temporal.domain.results import NodeExecutionResult

TICK_SECS = 0.01
SERVER = """
from threading import Event
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
Event().wait()
"""


@contextmanager
def s3_server() -> Iterator[None]:
    """A process with moto's S3, and the variables that lead to its bucket `runs`."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        os.environ |= {
            "AWS_ENDPOINT_URL": process.stdout.readline().strip(),
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        try:
            boto3.client("s3").create_bucket(Bucket="runs")
            yield
        finally:
            process.kill()


async def longest_pause() -> float:
    """How late the event loop came back at worst, in seconds, until this is cancelled."""
    worst = 0.0
    try:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECS)
            worst = max(worst, time.perf_counter() - began - TICK_SECS)
    except asyncio.CancelledError:
        return worst


async def measure(root: str, records: int, size: int) -> None:
    """Writes the records of a run below `root`, reads them back, and prints what both took."""
    files = RunFiles(FsspecArtifactStore(root, os.environ), "invocation")
    results = [NodeExecutionResult(unique_id=f"model.shop.m{n}", status="success") for n in range(records)]
    began = time.perf_counter()
    for first in range(0, records, 100):
        kept = [NodeOutcome(each, record=b"x" * size) for each in results[first : first + 100]]
        await asyncio.gather(*(files.keep(outcome, attempt=1) for outcome in kept))
    written = time.perf_counter()
    ticking = asyncio.create_task(longest_pause())
    await asyncio.sleep(0)
    cpu = time.process_time()
    completed = await files.with_records(results)
    read, cpu = time.perf_counter(), time.process_time() - cpu
    ticking.cancel()
    assert all(len(each.record) == size for each in completed)
    print(
        f"{root.partition('://')[0] if '://' in root else 'folder':8} {records} records of {size} bytes: "
        f"written in {written - began:.1f} s, read in {read - written:.1f} s "
        f"({cpu:.1f} s of CPU), event loop late by {await ticking * 1000:.0f} ms at most"
    )


def main() -> None:
    """Measures a folder, then S3."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4096, help="of a record, in bytes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(folder, options.records, options.size))
    with s3_server():
        asyncio.run(measure("s3://runs", options.records, options.size))


if __name__ == "__main__":
    main()
