"""One schedule as a person reads it, and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from temporalio.client import ScheduleActionExecutionStartWorkflow, ScheduleActionResult, ScheduleDescription

from dbt_temporal.adapters.temporal.schedules.known import OVERLAP_POLICIES, spec_in_words
from dbt_temporal.domain.details.headline import headline

SHOWN = 5
"""So many times are told."""
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_NOTHING: tuple[object, ...] = (None, {}, [], "")


def description_lines(described: ScheduleDescription, run_input: Mapping[str, Any]) -> list[str]:
    """What it runs and when, by which policies, and its last and its next runs; times are in its own zone."""
    schedule, info = described.schedule, described.info
    zone = _zone(schedule.spec.time_zone_name)
    lines = [f"{described.id}: {'paused' if schedule.state.paused else 'active'}", ""]
    for name, facts in _facts(described, run_input).items():
        lines += [f"  {name if number == 0 else '':<12}  {fact}" for number, fact in enumerate(facts)]
    nothing = "none: it is paused" if schedule.state.paused else "none"
    upcoming = [] if schedule.state.paused else info.next_action_times
    runs = [f"{_time(action.scheduled_at, zone)}  {_workflow_id(action)}" for action in info.recent_actions[-SHOWN:]]
    for name, shown in (
        ("next runs", [_time(each, zone) for each in upcoming[:SHOWN]] or [nothing]),
        ("last runs", runs or ["none"]),
    ):
        lines += ["", *(f"  {name if number == 0 else '':<12}  {each}" for number, each in enumerate(shown))]
    return lines


def description_json(described: ScheduleDescription, run_input: Mapping[str, Any]) -> str:
    """The same for programs, as one line."""
    schedule, info = described.schedule, described.info
    spec, policy = schedule.spec, schedule.policy
    fields = {
        "schedule_id": described.id,
        "paused": schedule.state.paused,
        "note": schedule.state.note or None,
        "when": spec_in_words(replace(spec, time_zone_name=None)),
        "time_zone": spec.time_zone_name or "UTC",
        "start_at": _iso(spec.start_at),
        "end_at": _iso(spec.end_at),
        "jitter_secs": spec.jitter.total_seconds() if spec.jitter else 0.0,
        "command": headline(run_input),
        "input": {name: value for name, value in run_input.items() if value is not None},
        "overlap_policy": _overlap(described),
        "catchup_window_secs": policy.catchup_window.total_seconds() if policy.catchup_window else None,
        "pause_on_failure": policy.pause_on_failure,
        "skipped_for_overlap": info.num_actions_skipped_overlap,
        "missed": info.num_actions_missed_catchup_window,
        "last_runs": [
            {"for": each.scheduled_at.isoformat(), "workflow_id": _workflow_id(each)} for each in info.recent_actions
        ],
        "next": [each.isoformat() for each in info.next_action_times],
    }
    return json.dumps(fields)


def length(time: timedelta | None) -> str:
    """A length of time as the flags take it: `365d`, `1h 30m`."""
    rest, words = int(time.total_seconds()) if time else 0, []
    for unit, secs in _UNITS:
        count, rest = divmod(rest, secs)
        words += [f"{count}{unit}"] if count else []
    return " ".join(words) or "0s"


def _facts(described: ScheduleDescription, run_input: Mapping[str, Any]) -> dict[str, list[str]]:
    schedule, info = described.schedule, described.info
    spec, policy = schedule.spec, schedule.policy
    zone = _zone(spec.time_zone_name)
    fields = {name: value for name, value in run_input.items() if name != "command" and value not in _NOTHING}
    given = [f"{name}: {_plain(value)}" for name, value in fields.items()]
    facts = {
        "command": [headline(run_input)],
        "input": given or ["nothing besides"],
        "when": spec_in_words(replace(spec, time_zone_name=None)).split("; "),
        "time zone": [spec.time_zone_name or "UTC"],
    }
    if spec.jitter:
        facts["jitter"] = [f"each start is put off by at most {length(spec.jitter)}"]
    if spec.start_at:
        facts["from"] = [_time(spec.start_at, zone)]
    if spec.end_at:
        facts["until"] = [_time(spec.end_at, zone)]
    facts["overlap"] = [f"{_overlap(described)}, where the run before goes on"]
    facts["catch-up"] = [f"what was missed is started up to {length(policy.catchup_window)} late"]
    if policy.pause_on_failure:
        facts["on failure"] = ["the schedule is paused"]
    if schedule.state.note:
        facts["note"] = schedule.state.note.splitlines()
    if info.num_actions_skipped_overlap or info.num_actions_missed_catchup_window:
        facts["not started"] = [
            f"{info.num_actions_skipped_overlap} because of the run before, "
            f"{info.num_actions_missed_catchup_window} because they were too late"
        ]
    return facts


def _overlap(described: ScheduleDescription) -> str:
    policy = described.schedule.policy.overlap
    return next((name for name, each in OVERLAP_POLICIES.items() if each == policy), "Skip")


def _zone(name: str | None) -> tzinfo | None:
    """None is that of this machine, where the one of the schedule is not known here."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return None


def _time(time: datetime, zone: tzinfo | None) -> str:
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _workflow_id(action: ScheduleActionResult) -> str:
    started = action.action
    return started.workflow_id if isinstance(started, ScheduleActionExecutionStartWorkflow) else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def next_runs(times: Sequence[datetime]) -> str:
    """The first of them on one line."""
    more = f" and {len(times) - SHOWN} more" if len(times) > SHOWN else ""
    return ", ".join(_time(each, None) for each in times[:SHOWN]) + more if times else "never"
