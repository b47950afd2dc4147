"""Lifecycle hooks of dbt-temporal, written in Python: the same five as in ../typescript. Needs temporalio alone.

    pip install temporalio
    TEMPORAL_ADDRESS=localhost:7233 TASK_QUEUE=dbt-hooks python hooks.py

A hook workflow takes one argument, the payload (see ../README.md for its fields). Workflow code must be deterministic:
whatever reads files, the network or the environment is an activity.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

Payload = dict[str, Any]
"""event, invocation_id, input, plan, output. Ignore fields that you do not know: later versions may add some."""

MAX_NAMED = 5
ATTEMPT = timedelta(seconds=30)
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5)


def format_summary(payload: Payload) -> str:
    """What the run was, how it ended, and the first nodes that failed."""
    asked, plan, output = payload["input"], payload["plan"], payload["output"]
    words = [f"dbt {asked['command']}"]
    words += [f"--select {asked['select']}"] if asked["select"] else []
    words += [f"({asked['target']})"] if asked["target"] else []
    title = f"{' '.join(words)} of {plan['project']}"
    if output is None:
        return f"{title} starts with {len(plan['nodes'])} nodes"
    results = output["node_results"]
    counts = Counter(result["status"] for result in results)
    counted = ", ".join(sorted(f"{count} {status}" for status, count in counts.items())) or "no nodes"
    ending = "succeeded" if output["success"] else "failed"
    lines = [f"{title} {ending}: {counted} in {output['elapsed_time']:.1f} s"]
    failed = [result for result in results if result["status"] == "error"]
    for result in failed[:MAX_NAMED]:
        message = (result["message"] or "no message").strip().split("\n")[0]
        lines.append(f"- {result['unique_id']}: {message}")
    if len(failed) > MAX_NAMED:
        lines.append(f"- and {len(failed) - MAX_NAMED} more")
    lines += [f"- hook {error['hook_workflow_type']}: {error['error']}" for error in output["hook_errors"]]
    return "\n".join(lines)


@activity.defn
def send_message(text: str) -> None:
    """Posts to NOTIFY_URL as `{"text": ...}` (what Slack and its like take); without it, the log is the place."""
    url = os.environ.get("NOTIFY_URL")
    if not url:
        activity.logger.info(text)
        return
    body = json.dumps({"text": text}).encode()
    with urlopen(Request(url, body, {"content-type": "application/json"}), timeout=20):
        pass  # A refusal is an HTTPError, and is tried again.


@activity.defn
def newest_load() -> dict[str, Any]:
    """Reads LOADS_FILE, which the loading tool keeps: {"<table>": "<RFC 3339 time of its last load>"}."""
    loads: dict[str, str] = _read_json("LOADS_FILE")
    max_age_hours = float(os.environ.get("MAX_AGE_HOURS", "24"))
    newest = max((datetime.fromisoformat(time) for time in loads.values()), default=None)
    fresh = newest is not None and datetime.now(UTC) - newest <= timedelta(hours=max_age_hours)
    return {
        "is_fresh": fresh,
        "loaded_at": "never" if newest is None else newest.isoformat(),
        "max_age_hours": max_age_hours,
    }


@activity.defn
def find_credentials(target: str | None) -> dict[str, str]:
    """Reads CREDENTIALS_FILE: {"<target>": {"<NAME>": "<value>"}}. A run without a target uses "default"."""
    known: dict[str, dict[str, str]] = _read_json("CREDENTIALS_FILE")
    name = target or "default"
    if name not in known:
        # Another attempt would not find it either.
        raise ApplicationError(f"no credentials for target {name}", type="UnknownTarget", non_retryable=True)
    return known[name]


@activity.defn
def archive(payload: Payload) -> str:
    """Writes ARCHIVE_DIR/<invocation_id>-<event>.json, and returns its path."""
    file = Path(_setting("ARCHIVE_DIR")) / f"{payload['invocation_id']}-{payload['event']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(payload, indent=2))
    return str(file)


def _read_json(name: str) -> Any:
    return json.loads(Path(_setting(name)).read_text())


def _setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        message = f"the hook worker has no {name} in its environment"
        raise ApplicationError(message, type="NotConfigured", non_retryable=True)
    return value


@workflow.defn(name="notify")
class Notify:
    """on_success, on_failure: sends a summary of the run, and returns its text."""

    @workflow.run
    async def run(self, payload: Payload) -> str:
        """Runs the hook."""
        text = format_summary(payload)
        await workflow.execute_activity(send_message, text, start_to_close_timeout=ATTEMPT, retry_policy=RETRY)
        return text


@workflow.defn(name="check_freshness")
class CheckFreshness:
    """pre_run: skips the run where nothing new was loaded. A full refresh always runs."""

    @workflow.run
    async def run(self, payload: Payload) -> dict[str, Any] | None:
        """Runs the hook."""
        if payload["input"]["full_refresh"]:
            return None
        load = await workflow.execute_activity(newest_load, start_to_close_timeout=ATTEMPT, retry_policy=RETRY)
        if load["is_fresh"]:
            return None
        hours, last = load["max_age_hours"], load["loaded_at"]
        return {"skip": True, "reason": f"nothing was loaded in the last {hours:g} hours (last: {last})"}


@workflow.defn(name="resolve_credentials")
class ResolveCredentials:
    """pre_run: where and as whom the run connects, for its target. Fails for a target that it does not know."""

    @workflow.run
    async def run(self, payload: Payload) -> dict[str, Any]:
        """Runs the hook."""
        target = payload["input"]["target"]
        found = await workflow.execute_activity(
            find_credentials, target, start_to_close_timeout=ATTEMPT, retry_policy=RETRY
        )
        return {"extra_env": found}


@workflow.defn(name="wait_for_approval")
class WaitForApproval:
    """pre_run: waits until somebody sends the signal `decide`; `timeout_secs` in dbt_temporal.yml limits the wait."""

    def __init__(self) -> None:
        self._decision: dict[str, Any] | None = None

    @workflow.run
    async def run(self, payload: Payload) -> dict[str, Any] | None:  # noqa: ARG002 (every hook is sent the payload)
        """Runs the hook."""
        await workflow.wait_condition(lambda: self._decision is not None)
        if self._decision is None or self._decision["approved"]:
            return None
        return {"skip": True, "reason": f"declined by {self._decision['by']}"}

    @workflow.signal
    def decide(self, decision: dict[str, Any]) -> None:
        """{"approved": true or false, "by": "<name>"}."""
        self._decision = decision


@workflow.defn(name="archive_payload")
class ArchivePayload:
    """Any event: keeps the payload as a file, and returns where."""

    @workflow.run
    async def run(self, payload: Payload) -> str:
        """Runs the hook."""
        return await workflow.execute_activity(archive, payload, start_to_close_timeout=ATTEMPT, retry_policy=RETRY)


async def main() -> None:
    """Serves the hooks on TASK_QUEUE of the Temporal server at TEMPORAL_ADDRESS, until it is interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    address = os.environ.get("TEMPORAL_ADDRESS", "localhost:7233").removeprefix("http://").removeprefix("https://")
    task_queue = os.environ.get("TASK_QUEUE", "dbt-hooks")
    client = await Client.connect(address, namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"))
    interrupted = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, interrupted.set)
    with ThreadPoolExecutor(max_workers=10) as threads:
        worker = Worker(
            client,
            task_queue=task_queue,
            workflows=[Notify, CheckFreshness, ResolveCredentials, WaitForApproval, ArchivePayload],
            activities=[send_message, newest_load, find_credentials, archive],
            activity_executor=threads,
            max_concurrent_activities=10,
        )
        async with worker:
            logging.info("hooks are served on task queue %s at %s", task_queue, address)
            await interrupted.wait()


if __name__ == "__main__":
    asyncio.run(main())
