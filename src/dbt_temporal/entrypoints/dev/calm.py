"""The worker's log for a person at a desk: what happens and when, without loggers, levels and ids on each line."""

from __future__ import annotations

import re

from rich.text import Text

_RECORD = re.compile(
    r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d)\S* (?P<level>[A-Z]+) (?P<logger>\S+): "
    r"(?P<message>.*?)(?: \|(?P<fields>(?: \w+=\S*)+))?"
)
"""A record as `adapters.telemetry.logs.TextFormatter` writes it."""
_STEP = re.compile(r"(?P<name>\w+) done in \S+ s")
_OF_STEPS = "telemetry.steps"
_TOLD_STEPS = {"plan_project": "is planned", "end_run": "has ended"}
"""Steps that are no nodes, and tell a person something. The run itself is named above its nodes."""
_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class CalmLines:
    """Makes such lines of those of the log. What is no record of the log stays as it is."""

    def __init__(self) -> None:
        self._run = ""
        self._style = "dim"

    def of(self, line: str) -> list[Text]:
        """The lines in place of one; none where it says nothing to a person."""
        found = _RECORD.fullmatch(line)
        if found is None:  # a further line of the record before, or none of the log's
            return [Text(line, style=self._style)]
        time, level, message = found["time"], found["level"], found["message"]
        self._style = _STYLES.get(level, "dim")
        run = _workflow_id(found["fields"] or "")
        step = _STEP.fullmatch(message)
        if found["logger"].endswith(_OF_STEPS) and step is not None and level == "INFO":
            told = _TOLD_STEPS.get(step["name"])
            self._run = run
            return [Text(f"{time}  {run} {told}", style="dim")] if told else []
        lines = []
        if run and run != self._run:
            lines.append(Text(f"{time}  {run}", style="dim"))
        self._run = run or self._run
        shown = f"{time}  {'  ' if run else ''}{message}"
        return [*lines, Text(shown, style=self._style)]


def _workflow_id(fields: str) -> str:
    found = re.search(r" workflow_id=(\S+)", fields)
    return found[1] if found else ""
