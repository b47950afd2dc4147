"""The run in dbt's words: what was asked, on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_temporal.domain.details.markdown import code, plain
from dbt_temporal.domain.limits import fit_name

MAX_SUMMARY_BYTES = 400
"""What the server takes for the summary of a workflow."""
MAX_CHARS = 200
_CUT = "…"


def headline(run_input: Mapping[str, Any]) -> str:
    """The command with what it selects and where it goes; cut where it is long. No vars, and nothing of `env`."""
    words = ["dbt", str(run_input.get("command") or "build")]
    for field in ("select", "exclude", "selector", "target"):
        if run_input.get(field):
            words += [f"--{field}", str(run_input[field])]
    if run_input.get("full_refresh"):
        words.append("--full-refresh")
    line = " ".join(words)
    return line if len(line) <= MAX_CHARS else line[: MAX_CHARS - 1] + _CUT


def run_summary(run_input: Mapping[str, Any]) -> str:
    """The same for the list of workflows in the UI, which reads Markdown; within what the server takes."""
    line = headline(run_input)
    while len(summary := plain(line)) > MAX_CHARS or len(summary.encode()) > MAX_SUMMARY_BYTES:
        line = line.removesuffix(_CUT)[:-1] + _CUT
    return summary


def hook_summary(hook_id: str, workflow_id: str) -> str:
    """The summary of a hook's workflow, in Markdown as well: ids as they are."""
    room = MAX_SUMMARY_BYTES - len("hook `` of ``")
    hook_id = fit_name(hook_id, room // 2)
    return f"hook {code(hook_id)} of {code(fit_name(workflow_id, room - len(hook_id.encode())))}"
