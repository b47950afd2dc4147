"""Which process of a run answers for which attempt: noted, so that whoever asks again hears the same."""

from __future__ import annotations

import contextlib
from pathlib import Path

import orjson

_FILE = "answers.jsonl"
_EXECUTION, _WORKER = 0, -1
"""In place of an attempt's number: an execution of the run's workflow has begun; a worker takes part in the run."""
BEGIN = "begin"
"""In place of a node: the begin of the run, by a process for all of it."""


class Answers:
    """Of one run; they are kept in a file below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._numbers: dict[str, dict[int, int]] = {}
        self._workers: set[str] = set()
        self._execution, self._before = "", 0

    def read(self) -> None:
        """Takes in what workers of this machine have written down before."""
        with contextlib.suppress(FileNotFoundError):
            for line in self._file.read_bytes().splitlines():
                with contextlib.suppress(orjson.JSONDecodeError):
                    name, attempt, number = orjson.loads(line)
                    if attempt == _EXECUTION:
                        self._begin(name, number)
                    elif attempt == _WORKER:
                        self._workers.add(name)
                    else:
                        self._numbers.setdefault(name, {})[attempt] = number

    def go_on_in(self, execution: str, last: int) -> None:
        """Says in which execution of its workflow the run goes on, and which process was its last one until then:
        after a reset, what is asked for is done anew."""
        if execution != self._execution:
            self._begin(execution, last)
            self._write(execution, _EXECUTION, last)

    def take_part(self, mark: str) -> None:
        """A worker takes part in the run, and has its files here."""
        if mark not in self._workers:
            self._workers.add(mark)
            self._write(mark, _WORKER, 0)

    def has_part_of(self, mark: str) -> bool:
        """Whether the files of a worker that takes part are here."""
        return mark in self._workers

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
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._file.open("ab") as file:
            file.write(orjson.dumps(entry) + b"\n")
