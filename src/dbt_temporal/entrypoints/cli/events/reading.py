"""Events out of the lines of a run's log (`dbt_temporal.domain.log.run_log`), as they come."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dbt_temporal.domain.log.said import SaidEvent
from dbt_temporal.entrypoints.cli.events.event import Event, LogLevel
from dbt_temporal.entrypoints.cli.progress import SUMMARY_BEGINS, node_label

_OF_THE_LINE_BEFORE = "     "
_STARTED = re.compile(r"(?P<index>\d+) of (?P<total>\d+) START (?P<kind>\S+) (?P<label>.+)")
_SKIPPED = re.compile(r"(?P<index>\d+) of (?P<total>\d+) SKIP (?P<kind>\S+) (?P<label>.+?)  \[.*\]")
_RETRIED = re.compile(r"  => .+  \[RETRY after attempt \d+ of \d+\]")
_ENDED = re.compile(
    r"  => (?P<what>.+?)  \[(?P<word>[A-Z][A-Z -]*?)(?: (?P<count>\d+))?(?: in (?P<seconds>[\d.]+)s)?\].*"
)
_BATCH = re.compile(r"batch (?P<index>\d+) of (?P<total>\d+) of (?P<label>.+)")
_CONCURRENCY = re.compile(r"Concurrency: (?P<threads>\d+) threads?,.*?(?:\(target='(?P<target>.*)'\))?")
_FINISHED = re.compile(r"Finished running .* in (?P<seconds>[\d.]+)s\.")
_PROBLEM = re.compile(r"\S.* failed:")

_LEVELS: dict[str, LogLevel] = {"ERROR": "error", "FAIL": "error", "CANCELLED": "error", "WARN": "warn"}
_STATUSES = {"OK": "success"}
_BY_KIND = {
    "seed": "LogSeedResult",
    "snapshot": "LogSnapshotResult",
    "test": "LogTestResult",
    "unit_test": "LogTestResult",
    "source": "LogFreshnessResult",
}


def node_info(unique_id: str, kind: str | None, status: str) -> dict[str, Any]:
    """What dbt's events say of their node, as far as it is known here."""
    resource_type, name = node_label(unique_id)
    materialized = kind.removesuffix("_model") if kind and kind.endswith("_model") else kind or ""
    return {
        "unique_id": unique_id,
        "node_name": name,
        "resource_type": resource_type,
        "materialized": materialized,
        "node_status": status,
    }


class LogReader:
    """Reads the log of one run. A node is known by the number that it has there."""

    def __init__(self) -> None:
        self._nodes: list[str] = []
        self._started: dict[str, tuple[int, int]] = {}

    def events(
        self, lines: Sequence[str], numbered: Sequence[str] = (), said: Sequence[SaidEvent] = ()
    ) -> Iterator[Event]:
        """The events of new lines, but for dbt's summary line.

        Args:
            lines: those that no call before had; what belongs together comes together.
            numbered: unique_ids of the nodes that have got numbers since, in the order of these.
            said: what dbt and the project have said in the lines, by places among these.
        """
        self._nodes += numbered
        begins = {event.line: event for event in said}
        told: list[Event | list[str]] = []
        own, at = False, 0
        while at < len(lines):
            line, event = lines[at], begins.get(at)
            indented = line.startswith(_OF_THE_LINE_BEFORE) if event is None else event.indent > 0
            of_the_line_before = own and indented
            at += 1 if event is None else event.lines
            if event is not None:
                # What a node has had dbt say stands below its end in the log, and was said before.
                place = len(told) - 1 if of_the_line_before else len(told)
                told.insert(place, said_event(lines[event.line : at], event))
                own = of_the_line_before
            elif of_the_line_before:
                group = told[-1]
                assert isinstance(group, list)
                group.append(line)
            elif not line.startswith(SUMMARY_BEGINS):
                told.append([line])
                own = True
        return (each if isinstance(each, Event) else self._event(each) for each in told)

    def _event(self, lines: list[str]) -> Event:
        line, msg = lines[0], "\n".join(lines)
        if found := _STARTED.fullmatch(line):
            return self._started_event(found, msg)
        if found := _SKIPPED.fullmatch(line):
            return self._skipped_event(found, msg)
        if _RETRIED.fullmatch(line):
            return Event("Note", "warn", msg, {"msg": msg})
        if found := _ENDED.fullmatch(line):
            return self._ended_event(found, msg)
        if found := _CONCURRENCY.fullmatch(line):
            target = found["target"] or ""
            return Event("ConcurrencyLine", "info", msg, {"num_threads": int(found["threads"]), "target_name": target})
        if found := _FINISHED.fullmatch(line):
            return Event("FinishedRunningStats", "info", msg, {"execution_time": float(found["seconds"])})
        if line.startswith("Running with dbt"):
            return Event("MainReportVersion", "info", msg, {"version": line.removeprefix("Running with dbt")})
        if line.startswith("Found "):
            return Event("FoundStats", "info", msg, {"stat_line": line.removeprefix("Found ")})
        if len(lines) > 1 and _PROBLEM.fullmatch(line):
            exc = "\n".join(each.removeprefix(_OF_THE_LINE_BEFORE) for each in lines[1:])
            return Event("MainEncounteredError", "error", msg, {"exc": exc})
        return Event("Note" if line else "Formatting", "info", msg, {"msg": msg})

    def _started_event(self, found: re.Match[str], msg: str) -> Event:
        what, index, total = f"{found['kind']} {found['label']}", int(found["index"]), int(found["total"])
        self._started[what] = index, total
        data = {"description": what, "index": index, "total": total}
        return Event("LogStartLine", "info", msg, data | self._info(index, found["kind"], "started"))

    def _skipped_event(self, found: re.Match[str], msg: str) -> Event:
        index, kind = int(found["index"]), found["kind"]
        schema, _, name = found["label"].rpartition(".")
        data = {
            "resource_type": "model" if kind.endswith("_model") else kind,
            "schema": schema,
            "node_name": name,
            "index": index,
            "total": int(found["total"]),
        }
        return Event("SkippingDetails", "info", msg, data | self._info(index, kind, "skipped"))

    def _ended_event(self, found: re.Match[str], msg: str) -> Event:
        what, word = found["what"], found["word"]
        status = _STATUSES.get(word, word.lower())
        level = _LEVELS.get(word, "info")
        data: dict[str, Any] = {"status": status, "execution_time": float(found["seconds"] or 0)}
        if batch := _BATCH.fullmatch(what):
            data |= {"description": what, "batch_index": int(batch["index"]), "total_batches": int(batch["total"])}
            return Event("LogBatchResult", level, msg, data)
        kind, _, label = what.partition(" ")
        if kind == "hook":
            return Event("LogHookEndLine", level, msg, data | {"unique_id": label})
        index, total = self._started.pop(what, (0, 0))
        data |= {"description": what, "index": index, "total": total, **self._info(index, kind, status)}
        name = _BY_KIND.get(kind, "LogModelResult" if kind.endswith("_model") else "LogNodeResult")
        if word == "CANCELLED":
            name = "LogCancelLine"
        elif word == "NO-OP":
            name = "LogNodeNoOpResult"
        elif name == "LogTestResult":
            data |= {"name": label, "num_models": total, "num_failures": int(found["count"] or 0)}
        elif name == "LogSeedResult":
            data["schema"], _, data["relation"] = label.rpartition(".")
        elif name == "LogFreshnessResult":
            name_of_source = data.get("node_info", {}).get("node_name", label)
            data["source_name"], _, data["table_name"] = name_of_source.partition(".")
        return Event(name, level, msg, data)

    def _info(self, index: int, kind: str, status: str) -> dict[str, Any]:
        if not 0 < index <= len(self._nodes):
            return {}
        return {"node_info": node_info(self._nodes[index - 1], kind, status)}


def said_event(lines: Sequence[str], said: SaidEvent) -> Event:
    """That of what dbt or the project has said, by its lines."""
    msg = "\n".join(line[said.indent :] for line in lines)
    about = {"node_info": node_info(said.unique_id, None, "")} if said.unique_id else {}
    return Event(said.name, said.level, msg, {"msg": msg, **about}, said.code)


def stats_event(line: str) -> Event:
    """That of dbt's summary line."""
    counts = {key.replace("-", "").lower(): int(count) for key, count in re.findall(r"([A-Z-]+)=(\d+)", line)}
    return Event("StatsLine", "info", line, {"stats": counts})
