"""The memos of a run: what Temporal's UI shows of it without asking a worker, within what Temporal takes.

Temporal Cloud allows 40 KiB for all memos of a workflow; the run contract promises less than 32 KiB, 2,000 nodes and
200 lines. Sizes are counted in JSON with every character outside ASCII escaped, which no encoder of ours exceeds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dbt_temporal.application.ports.runtime import RunView
from dbt_temporal.domain.run.input import DbtRunInput

MAX_NODES = 2_000
MAX_LOG_LINES = 200
MAX_BYTES = 30 * 1024
"""2 KiB below the contract's limit, for what the server adds to each entry."""
MAX_COMMAND_BYTES = 4 * 1024
MAX_LINE_CHARS = 500
MIN_LOG_SHARE = 0.25
"""So much of the space is the log's when a large plan would fill it alone."""

_KEPT_FIRST = {"error": 0, "cancelled": 0, "running": 1, "skipped": 2, "success": 3, "pending": 4}
_CUT = "…"


def command_memo(project: str, run_input: DbtRunInput) -> dict[str, Any]:
    """The memo `command`: what was asked. Never `env`. Long texts and large vars are cut, so that it fits."""
    memo: dict[str, Any] = {
        "command": run_input.command,
        "project": project,
        "select": run_input.select,
        "exclude": run_input.exclude,
        "target": run_input.target,
        "full_refresh": bool(run_input.full_refresh),
        "fail_fast": bool(run_input.fail_fast),
        "vars": run_input.vars,
    }
    for key in ("vars", "select", "exclude", "target"):
        excess = _size(memo) - MAX_COMMAND_BYTES
        if excess <= 0:
            break
        memo[key] = _cut(memo[key], excess)
    return memo


class RunMemos:
    """The memos of one run, as they are to be written. `command` is written once."""

    def __init__(self) -> None:
        self._command: dict[str, Any] = {}

    def of(self, view: RunView) -> dict[str, Any]:
        new: dict[str, Any] = {}
        if not self._command and view.request is not None:
            self._command = new = {"command": command_memo(*view.request)}
        lines = view.log.tail(MAX_LOG_LINES)
        return new | live_memo(view.state.statuses, lines, used=memo_size(self._command))


def live_memo(statuses: Mapping[str, str], log_tail: Sequence[str], *, used: int) -> dict[str, Any]:
    """The memos `node_status` and `log`, in the space that the others leave.

    Args:
        statuses: status by unique_id, in plan order.
        log_tail: the newest lines of the log, oldest of them first.
        used: bytes of the memos that are set already.
    """
    space = MAX_BYTES - used
    lines = [line if len(line) <= MAX_LINE_CHARS else line[: MAX_LINE_CHARS - 1] + _CUT for line in log_tail]
    log_needs = min(_list_size(lines[-MAX_LOG_LINES:]), int(space * MIN_LOG_SHARE))
    node_status = _fit_statuses(statuses, space - log_needs)
    return {"node_status": node_status, "log": _fit_lines(lines, space - _size(node_status))}


def memo_size(memo: Mapping[str, Any]) -> int:
    """How many bytes of the limit a memo takes, keys included."""
    return _size(dict(memo))


def _fit_statuses(statuses: Mapping[str, str], space: int) -> dict[str, str]:
    # By hand, as a large plan has many of them for each memo.
    needs: list[list[tuple[str, str]]] = [[] for _ in range(max(_KEPT_FIRST.values()) + 1)]
    for item in statuses.items():
        needs[_KEPT_FIRST.get(item[1], 0)].append(item)
    by_need = itertools.islice(itertools.chain.from_iterable(needs), MAX_NODES)
    kept: dict[str, str] = {}
    left = space - len('"node_status": {}, ')
    for unique_id, status in by_need:
        left -= _size(unique_id) + _size(status) + len(": , ")
        if left < 0:
            break
        kept[unique_id] = status
    if len(kept) == len(statuses):
        return dict(statuses)
    return {unique_id: status for unique_id, status in statuses.items() if unique_id in kept}


def _fit_lines(lines: Sequence[str], space: int) -> list[str]:
    kept: list[str] = []
    left = space - len('"log": [], "node_status": , ')
    for line in reversed(lines[-MAX_LOG_LINES:]):
        left -= _size(line) + len(", ")
        if left < 0:
            break
        kept.append(line)
    return kept[::-1]


def _list_size(lines: Sequence[str]) -> int:
    return sum(_size(line) + len(", ") for line in lines) + len('"log": [], ')


def _size(value: Any) -> int:
    return len(json.dumps(value, default=str))


def _cut(value: Any, excess: int) -> str | None:
    """The beginning of a value as text, shorter than its JSON by at least `excess` bytes."""
    if value is None or value == {}:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    # Quotes and backslashes double when the text is written as JSON: cut until it is truly shorter.
    target = max(0, _size(value) - excess)
    while text and _size(text + _CUT) > target:
        text = text[: len(text) * 3 // 4]
    return text + _CUT
