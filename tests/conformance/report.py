"""Writes docs/conformance.md out of verdicts: `python -m tests.conformance.report PAGE VERDICTS...`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.differences import reason_of
from tests.conformance.verdicts import CLI, FAILED, OURS, PASSED, Verdict

EQUAL, IN_BOTH, CLI_ALONE, NO_RUN, SKIPPED, KNOWN, UNEXPLAINED = (
    "equal",
    "fails in both",
    "fails on the CLI alone",
    "no run",
    "skipped",
    "differs",
    "DIFFERS, UNEXPLAINED",
)
Column = tuple[str, str]
"""A database and a version of dbt."""

_HEAD = """# Conformance

The scenarios of dbt's own package for the makers of adapters,
[dbt-tests-adapter](https://pypi.org/project/dbt-tests-adapter/), each run twice on the same kind of database: by
`dbt`'s command line, and by a `dbt_run` workflow on a real Temporal server with a real worker. `make conformance` runs
them all and writes this page; `make test` runs a share of them, and fails where both verdicts differ without a reason
that is known ([the list](../tests/conformance/differences.py)). How it works, and what it cannot show, is in
[decision 15](adr/0015-conformance.md).

A cell is empty where a scenario was not run for this page.

- **equal**: passes on the command line and through us.
- **no run**: passes, and starts no run of ours: it starts none at all, or only commands of the kind below
  that dbt's command line ran in both modes.
- **fails in both**: fails on the command line too: it is written for another database, or wants fixtures that only the
  maker of an adapter can give.
- **fails on the CLI alone**: passes through us.
- **differs**: passes on the command line and fails through us, for the reason that is given below.
"""

_LEFT_HEAD = """## Commands that dbt's command line ran in both modes

They give back, within one process, what no artifact holds, or stand for no run (`deps`). Tests in which they were
started, over all columns:
"""


@dataclass
class Test:
    """One test: what came of it on each database with each version of dbt."""

    scenario: str
    name: str
    words: dict[Column, str] = field(default_factory=dict)
    problems: dict[Column, str] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The part of the package that it is of."""
        return self.scenario.split(".", 1)[0]

    @property
    def shown(self) -> str:
        """The class and the test."""
        return f"{self.scenario.rsplit('.', 1)[1]}.{self.name}"


def read_verdicts(paths: Iterable[Path]) -> list[Verdict]:
    """All verdicts of some files; a later one of the same test in the same mode counts."""
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    read = [Verdict(**json.loads(line)) for line in lines]
    return list({(*each.key, each.mode, each.dbt): each for each in read}.values())


def compare(verdicts: Sequence[Verdict]) -> list[Test]:
    """The tests in the order of their names; those that ran in one mode only are left out."""
    by_cli = {(*each.key, each.dbt): each for each in verdicts if each.mode == CLI}
    tests: dict[tuple[str, str], Test] = {}
    for ours in sorted((each for each in verdicts if each.mode == OURS), key=lambda each: (each.scenario, each.test)):
        cli = by_cli.get((*ours.key, ours.dbt))
        if cli is None:
            continue
        test = tests.setdefault((ours.scenario, ours.test), Test(ours.scenario, ours.test))
        column = (ours.database, ours.dbt)
        test.words[column] = word_for(cli, ours)
        test.problems[column] = (cli if cli.verdict == FAILED else ours).problem
    return list(tests.values())


def word_for(cli: Verdict, ours: Verdict) -> str:
    """What both verdicts say together."""
    if cli.verdict == FAILED:
        return IN_BOTH if ours.verdict == FAILED else CLI_ALONE
    if cli.verdict != PASSED:
        return SKIPPED
    if ours.verdict == FAILED:
        return UNEXPLAINED if reason_of(*ours.key) is None else KNOWN
    return EQUAL if ours.runs else NO_RUN


def page(tests: Sequence[Test], verdicts: Sequence[Verdict]) -> str:
    """The whole page."""
    columns = sorted({column for test in tests for column in test.words}, key=lambda column: (column[1], column[0]))
    parts = [_HEAD, _totals(tests, columns), _differences(tests), _left(verdicts), _failures(tests), "## All tests\n"]
    for group in sorted({test.group for test in tests}):
        rows = [_row(test, columns) for test in tests if test.group == group]
        parts.append(f"### {group}\n\n{_table(['test', *map(_title, columns)], rows)}")
    return "\n".join(parts)


def _totals(tests: Sequence[Test], columns: Sequence[Column]) -> str:
    rows = []
    for column in columns:
        count = Counter(test.words[column] for test in tests if column in test.words)
        ran = count[EQUAL] + count[KNOWN] + count[UNEXPLAINED]
        rows.append(
            [
                _title(column),
                *map(str, (count.total(), ran + count[NO_RUN], ran, count[EQUAL], count[KNOWN], count[UNEXPLAINED])),
            ]
        )
    head = ["", "tests", "pass on the CLI", "of these, start a run", "equal", "differ, for a reason", "unexplained"]
    return f"## Totals\n\n{_table(head, rows)}"


def _differences(tests: Sequence[Test]) -> str:
    by_reason: dict[str, list[str]] = {}
    for test in tests:
        for (database, dbt), word in test.words.items():
            if word in (KNOWN, UNEXPLAINED):
                reason = reason_of(database, test.scenario, test.name) or f"unexplained: {test.problems[database, dbt]}"
                places = by_reason.setdefault(reason, [])
                if test.shown not in places:
                    places.append(test.shown)
    lines = [f"- {reason}: {', '.join(f'`{name}`' for name in names)}" for reason, names in sorted(by_reason.items())]
    return "## Differences\n\n" + ("\n".join(lines) or "None.") + "\n"


def _left(verdicts: Sequence[Verdict]) -> str:
    count = Counter(command for each in verdicts if each.mode == OURS for command in set(each.left))
    lines = [f"- {command}: {number}" for command, number in sorted(count.items())]
    return f"{_LEFT_HEAD}\n" + ("\n".join(lines) or "None.") + "\n"


def _failures(tests: Sequence[Test]) -> str:
    rows = [
        [f"`{test.shown}`", _title(column), word, f"`{test.problems[column].split(':', 1)[0]}`"]
        for test in tests
        for column, word in test.words.items()
        if word in (IN_BOTH, CLI_ALONE)
    ]
    return "## Tests that fail on the command line\n\n" + _table(["test", "on", "", "with"], rows)


def _row(test: Test, columns: Sequence[Column]) -> list[str]:
    return [f"`{test.shown}`", *(test.words.get(column, "") for column in columns)]


def _title(column: Column) -> str:
    return f"{ {'duckdb': 'DuckDB', 'postgres': 'PostgreSQL'}[column[0]] }, dbt {column[1]}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    """Reads the files that the command line names, and writes the page."""
    target, *sources = map(Path, sys.argv[1:])
    verdicts = read_verdicts(sources)
    tests = compare(verdicts)
    target.write_text(page(tests, verdicts), encoding="utf-8")
    unexplained = [test.shown for test in tests if UNEXPLAINED in test.words.values()]
    print(f"{target}: {len(tests)} tests, {len(unexplained)} with an unexplained difference {unexplained or ''}")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
