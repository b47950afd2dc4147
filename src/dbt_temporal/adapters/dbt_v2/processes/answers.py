"""Which process of a run answers for which attempt at a node: noted, so that whoever asks again hears the same."""

from __future__ import annotations

import contextlib
from pathlib import Path

import orjson

_FILE = "answers.jsonl"
_EXECUTION = 0
"""In place of an attempt's number: an execution of the run's workflow has begun."""


class Answers:
    """Of one run; they are kept in a file below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._numbers: dict[str, dict[int, int]] = {}
        self._execution, self._before = "", 0

    def read(self) -> None:
        """Takes in what a worker of this machine has written down before."""
        with contextlib.suppress(FileNotFoundError):
            for line in self._file.read_bytes().splitlines():
                with contextlib.suppress(orjson.JSONDecodeError):
                    name, attempt, number = orjson.loads(line)
                    if attempt == _EXECUTION:
                        self._begin(name, number)
                    else:
                        self._numbers.setdefault(name, {})[attempt] = number

    def go_on_in(self, execution: str, last: int) -> None:
        """Says in which execution of its workflow the run goes on, and which process was its last one until then:
        after a reset, what is asked for is done anew."""
        if execution != self._execution:
            self._begin(execution, last)
            self._write(execution, _EXECUTION, last)

    def number(self, unique_id: str, attempt: int) -> int | None:
        """The process that has answered for an attempt."""
        return self._numbers.get(unique_id, {}).get(attempt)

    def last_before(self, unique_id: str, attempt: int) -> int:
        """The process that has answered for the attempt before, or else the last one that does not count any more."""
        answered = self._numbers.get(unique_id, {})
        return max((number for earlier, number in answered.items() if earlier < attempt), default=self._before)

    def note(self, unique_id: str, attempt: int, number: int) -> None:
        """A process answers for an attempt."""
        answered = self._numbers.setdefault(unique_id, {})
        if answered.get(attempt) != number:
            answered[attempt] = number
            self._write(unique_id, attempt, number)

    def _begin(self, execution: str, last: int) -> None:
        self._execution, self._before = execution, last
        self._numbers.clear()

    def _write(self, *entry: object) -> None:
        with self._file.open("ab") as file:
            file.write(orjson.dumps(entry) + b"\n")
